/**
 * The operating system's side of processes: list them, read one's marker and figures, signal them. One implementation a platform.
 *
 * The lowest layer: `/proc` is read synchronously, since an asynchronous read of each of its tiny files costs several times the CPU, and a
 * whole look takes a millisecond or two on an ordinary machine.
 */
import * as Effect from "effect/Effect"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import { parseLinuxStat, parsePs, parseWindows, psColumns, windowsQuery } from "./ProcessTable.ts"
import type { ProcessRow } from "./ProcessTable.ts"

export type Signal = "SIGTERM" | "SIGKILL"

/** A process, or a whole process group. */
export interface Target {
  readonly pid: number
  readonly group: boolean
}

export interface ProcessSystem {
  readonly platform: NodeJS.Platform
  /** This process. */
  readonly self: number
  /** Changes at each start of the machine: a pid and start time mean nothing without it. */
  readonly bootId: string
  /** All processes that can be seen. */
  readonly list: Effect.Effect<ReadonlyArray<ProcessRow>>
  /** One process; undefined when there is none. */
  readonly find: (pid: number) => Effect.Effect<ProcessRow | undefined>
  /** Those whose environment holds one of these `NAME=VALUE` entries. None where environments cannot be read. */
  readonly marked: (rows: ReadonlyArray<ProcessRow>, entries: ReadonlySet<string>) => Effect.Effect<ReadonlyArray<ProcessRow>>
  /** Bytes that a process has read and written, its reaped children included; 0 where that is not known. */
  readonly ioBytes: (pid: number) => number
  /** Sends a signal; one that is gone, or that belongs to somebody else, is left alone. */
  readonly signal: (target: Target, signal: Signal) => Effect.Effect<void>
}

/** The operating system for a platform. Default: where this runs. */
export const make = (platform: NodeJS.Platform = process.platform): ProcessSystem => {
  if (platform === "linux") return linux
  return platform === "win32" ? windows : bsd(platform)
}

const readSmall = Buffer.alloc(4_096)

/** A small file of `/proc`, without the allocations of `readFileSync`; undefined when it cannot be read. */
const readProc = (path: string): string | undefined => {
  let file: number
  try {
    file = fs.openSync(path, "r")
  } catch {
    return undefined
  }
  try {
    return readSmall.toString("latin1", 0, fs.readSync(file, readSmall, 0, readSmall.length, 0))
  } catch {
    return undefined
  } finally {
    fs.closeSync(file)
  }
}

const signalPosix = (target: Target, signal: Signal): Effect.Effect<void> =>
  Effect.sync(() => {
    if (target.pid <= 1) return
    try {
      process.kill(target.group ? -target.pid : target.pid, signal)
    } catch {
      // Gone already, or not ours to signal: whoever asked looks at the table again and sees which.
    }
  })

const linuxRow = (pid: number | string): ProcessRow | undefined => {
  const text = readProc(`/proc/${pid}/stat`)
  return text === undefined ? undefined : parseLinuxStat(text)
}

const linux: ProcessSystem = {
  platform: "linux",
  self: process.pid,
  get bootId() {
    return readProc("/proc/sys/kernel/random/boot_id")?.trim() ?? "unknown"
  },
  list: Effect.sync(() =>
    fs.readdirSync("/proc").flatMap((name) => {
      const first = name.charCodeAt(0)
      if (first < 48 || first > 57) return []
      const row = linuxRow(name)
      return row === undefined ? [] : [row]
    })
  ),
  find: (pid) => Effect.sync(() => linuxRow(pid)),
  marked: (rows, entries) =>
    Effect.sync(() =>
      rows.filter((row) => {
        if (row.dead || row.pid <= 1) return false
        let environment: string
        try {
          environment = fs.readFileSync(`/proc/${row.pid}/environ`, "utf8")
        } catch {
          return false
        }
        if (!environment.split("\0").some((entry) => entries.has(entry))) return false
        // The row may be older than what was just read.
        return linuxRow(row.pid)?.startTime === row.startTime
      })
    ),
  ioBytes: (pid) => {
    const match = /^rchar: (\d+)\nwchar: (\d+)/.exec(readProc(`/proc/${pid}/io`) ?? "")
    return match === null ? 0 : Number(match[1]) + Number(match[2])
  },
  signal: signalPosix
}

/** Runs a system tool and answers what it printed; empty when it failed. */
const output = (program: string, args: ReadonlyArray<string>, env: Record<string, string>): Effect.Effect<string> =>
  Effect.callback<string>((resume) => {
    const child = childProcess.execFile(
      program,
      args,
      { env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024, windowsHide: true },
      (_error, stdout) => resume(Effect.succeed(stdout))
    )
    return Effect.sync(() => {
      child.kill("SIGKILL")
    })
  })

const bsd = (platform: NodeJS.Platform): ProcessSystem => {
  const ps = (selection: ReadonlyArray<string>) => Effect.map(output("ps", [...selection, "-o", psColumns], { LC_ALL: "C" }), parsePs)
  return {
    platform,
    self: process.pid,
    // `kern.bootsessionuuid` would need a process at a moment when none can be awaited; start times there are full dates.
    bootId: platform,
    list: ps(["-ax"]),
    find: (pid) => Effect.map(ps(["-p", String(pid)]), (rows) => rows.find((row) => row.pid === pid)),
    marked: () => Effect.succeed([]),
    ioBytes: () => 0,
    signal: signalPosix
  }
}

const windows: ProcessSystem = {
  platform: "win32",
  self: process.pid,
  bootId: "win32",
  list: Effect.suspend(() =>
    Effect.map(output("powershell.exe", ["-NoProfile", "-NonInteractive", "-Command", windowsQuery], {}), parseWindows)
  ),
  find: (pid) =>
    Effect.map(
      Effect.suspend(() => windows.list),
      (rows) => rows.find((row) => row.pid === pid)
    ),
  marked: () => Effect.succeed([]),
  ioBytes: () => 0,
  signal: (target, signal) => Effect.asVoid(output("taskkill", taskkillArguments(target, signal), {}))
}

/** Without `/F` a program is asked to end, which console programs ignore. */
export const taskkillArguments = (target: Target, signal: Signal): ReadonlyArray<string> => [
  "/PID",
  String(target.pid),
  "/T",
  ...(signal === "SIGKILL" ? ["/F"] : [])
]
