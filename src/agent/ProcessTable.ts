/**
 * What the operating system says of its processes, and which of them belong to a tree: pure functions over text and rows.
 *
 * Tools of agents run in sessions of their own and are handed to another parent when theirs dies, so parents alone do not tell who
 * belongs to whom. A tree therefore remembers its members and takes in what descends from a living member, or shares a group or session
 * that a member leads, as long as some member whose start time still matches lives in it: then its number cannot have been reused.
 */

/** One process. */
export interface ProcessRow {
  readonly pid: number
  readonly ppid: number
  /** Process group; 0 where there are none. */
  readonly pgid: number
  /** Session; 0 where it is not known. */
  readonly sid: number
  /** The kernel's start time, as it writes it. Together with the pid and the boot it names one process for ever. */
  readonly startTime: string
  /** A zombie: it only waits to be read by its parent, and cannot act any more. */
  readonly dead: boolean
  /** CPU time of itself and of the children it has waited for, in milliseconds. */
  readonly cpuMillis: number
}

/** Ticks of `/proc/PID/stat` are hundredths of a second on every architecture that Node runs on. */
const tickMillis = 10

/** One `/proc/PID/stat`; see proc(5). The name in parentheses may itself hold spaces and parentheses. Undefined when it is not one. */
export const parseLinuxStat = (text: string): ProcessRow | undefined => {
  const open = text.indexOf("(")
  const close = text.lastIndexOf(")")
  if (open < 1 || close < open) return undefined
  const fields = text.slice(close + 2).split(" ")
  const startTime = fields[19]
  const pid = Number.parseInt(text, 10)
  if (startTime === undefined || !Number.isInteger(pid)) return undefined
  const state = fields[0]
  const cpuTicks = Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14])
  return {
    pid,
    ppid: Number(fields[1]),
    pgid: Number(fields[2]),
    sid: Number(fields[3]),
    startTime,
    dead: state === "Z" || state === "X" || state === "x",
    cpuMillis: cpuTicks * tickMillis
  }
}

/** Columns for `ps` on macOS and the BSDs, in the order that `parsePs` reads. */
export const psColumns = "pid=,ppid=,pgid=,lstart=,stat=,time="

/** Output of `ps -axo` with `psColumns`, in the C locale. Lines that do not fit are left out. */
export const parsePs = (text: string): ReadonlyArray<ProcessRow> =>
  text.split("\n").flatMap((line) => {
    const match = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\w{3} +\w{3} +\d+ +[\d:]+ +\d{4})\s+(\S+)\s+([\d:.-]+)\s*$/.exec(line)
    if (match === null) return []
    const [, pid, ppid, pgid, started = "", stat = "", time = ""] = match
    return [
      {
        pid: Number(pid),
        ppid: Number(ppid),
        pgid: Number(pgid),
        sid: 0,
        startTime: started.replace(/ +/g, " "),
        dead: stat.startsWith("Z"),
        cpuMillis: cpuMillisOf(time)
      }
    ]
  })

/** `[[days-]hours:]minutes:seconds.hundredths`. */
const cpuMillisOf = (time: string): number => {
  const [days, rest] = time.includes("-") ? [Number(time.slice(0, time.indexOf("-"))), time.slice(time.indexOf("-") + 1)] : [0, time]
  const seconds = rest.split(":").reduce((sum, part) => sum * 60 + Number(part), 0)
  return Math.round((days * 86_400 + seconds) * 1_000)
}

/** What Windows is asked; it prints the comma-separated lines that `parseWindows` reads. Times are in units of 100 ns. */
export const windowsQuery =
  "Get-CimInstance Win32_Process | ForEach-Object { '{0},{1},{2},{3}' -f $_.ProcessId, $_.ParentProcessId, $(if ($_.CreationDate) { $_.CreationDate.ToFileTimeUtc() } else { 0 }), ($_.KernelModeTime + $_.UserModeTime) }"

/** `pid,parent,created,cpu` a line. Windows keeps the number of a parent that is gone: a parent that is younger than its child is none. */
export const parseWindows = (text: string): ReadonlyArray<ProcessRow> => {
  const read = text.split(/\r?\n/).flatMap((line) => {
    const match = /^\s*(\d+),(\d+),(\d+),(\d+)\s*$/.exec(line)
    if (match === null) return []
    const [, pid, ppid, created = "", cpu] = match
    return [
      {
        pid: Number(pid),
        ppid: Number(ppid),
        pgid: 0,
        sid: 0,
        startTime: created,
        dead: false,
        cpuMillis: Math.round(Number(cpu) / 10_000)
      }
    ]
  })
  const created = new Map(read.map((row) => [row.pid, BigInt(row.startTime)]))
  return read.map((row) => {
    const parent = created.get(row.ppid)
    return parent !== undefined && parent > BigInt(row.startTime) ? { ...row, ppid: 0 } : row
  })
}

/** A process as it is remembered. */
export interface Member {
  readonly pid: number
  readonly startTime: string
}

/** What is remembered of a tree between two looks at the process table. */
export interface Members {
  /** Start times by pid. */
  readonly known: ReadonlyMap<number, string>
  /** Groups and sessions that a member leads or has led, and in which a member still lives. */
  readonly led: ReadonlySet<number>
}

/** A tree that begins with these processes. */
export const membersOf = (roots: ReadonlyArray<Member>): Members => ({
  known: new Map(roots.map((root) => [root.pid, root.startTime])),
  led: new Set(roots.map((root) => root.pid))
})

/**
 * The living processes of a tree in this table, and what to remember for the next look.
 *
 * A remembered pid whose start time differs is another process and is dropped. Processes in `never` are not taken in, whatever they
 * descend from.
 */
export const refresh = (
  members: Members,
  rows: ReadonlyArray<ProcessRow>,
  never: ReadonlySet<number>
): { readonly members: Members; readonly living: ReadonlyArray<ProcessRow> } => {
  const living = new Map<number, ProcessRow>()
  const spaces = new Set<number>()
  const led = new Set(members.led)
  const take = (row: ProcessRow): void => {
    living.set(row.pid, row)
    led.add(row.pid)
    for (const space of [row.pgid, row.sid]) if (space > 1 && led.has(space)) spaces.add(space)
  }
  const strangers: Array<ProcessRow> = []
  for (const row of rows) {
    if (row.dead || row.pid <= 1 || never.has(row.pid)) continue
    if (members.known.get(row.pid) === row.startTime) take(row)
    else strangers.push(row)
  }
  // Children may stand before their parents: look until nothing more is found.
  let found = living.size > 0
  let left = strangers
  while (found) {
    found = false
    const rest: Array<ProcessRow> = []
    for (const row of left) {
      if (living.has(row.ppid) || spaces.has(row.pgid) || spaces.has(row.sid)) {
        take(row)
        found = true
      } else rest.push(row)
    }
    left = rest
  }
  const rowsLiving = [...living.values()]
  const inhabited = new Set<number>()
  for (const row of rowsLiving) for (const space of [row.pid, row.pgid, row.sid]) if (led.has(space)) inhabited.add(space)
  return { members: { known: new Map(rowsLiving.map((row) => [row.pid, row.startTime])), led: inhabited }, living: rowsLiving }
}

/** A process and everything it descends from: what must never be stopped on its behalf. */
export const ancestry = (pid: number, rows: ReadonlyArray<ProcessRow>): ReadonlySet<number> => {
  const parents = new Map(rows.map((row) => [row.pid, row.ppid]))
  const line = new Set<number>([0, 1])
  for (let at: number | undefined = pid; at !== undefined && !line.has(at); at = parents.get(at)) line.add(at)
  return line
}

/**
 * Whom to signal so that every one of these hears it once: whole groups where a member leads the group, else the process itself.
 *
 * A group that is not led by a member is never signalled; nor is the group `own`.
 */
export const targets = (
  living: ReadonlyArray<ProcessRow>,
  members: Members,
  own: number
): { readonly groups: ReadonlyArray<number>; readonly alone: ReadonlyArray<number> } => {
  const groups = new Set<number>()
  const alone: Array<number> = []
  for (const row of living) {
    if (row.pgid > 1 && row.pgid !== own && members.led.has(row.pgid)) groups.add(row.pgid)
    else alone.push(row.pid)
  }
  return { groups: [...groups], alone }
}
