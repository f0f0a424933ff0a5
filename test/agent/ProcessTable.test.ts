import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import {
  ancestry,
  membersOf,
  parseLinuxStat,
  parsePs,
  parseWindows,
  type ProcessRow,
  refresh,
  targets
} from "../../src/agent/ProcessTable.ts"

const row = (pid: number, ppid: number, over: Partial<ProcessRow> = {}): ProcessRow => ({
  pid,
  ppid,
  pgid: pid,
  sid: pid,
  startTime: `t${pid}`,
  dead: false,
  cpuMillis: 0,
  ...over
})
const pids = (rows: ReadonlyArray<ProcessRow>) => rows.map(({ pid }) => pid).sort((a, b) => a - b)
const nobody = new Set<number>()

describe("ProcessTable", () => {
  it("reads a Linux stat line whose program name holds spaces, parentheses and digits", () => {
    const stat = "4242 (a) S 1 (b)) S 77 4000 3999 0 -1 4194304 102 0 0 0 10 5 7 3 20 0 1 0 135897 3133440 410 18446744073709551615\n"
    assert.deepStrictEqual(parseLinuxStat(stat), {
      pid: 4242,
      ppid: 77,
      pgid: 4000,
      sid: 3999,
      startTime: "135897",
      dead: false,
      cpuMillis: 250
    })
    assert.isTrue(parseLinuxStat(stat.replace(")) S", ")) Z"))?.dead)
    assert.isUndefined(parseLinuxStat(""))
    assert.isUndefined(parseLinuxStat("12 (half"))
  })

  it("reads the process list of macOS", () => {
    const text = [
      "    1     0     1 Mon Nov 23 08:00:01 2026     Ss     1:02.50",
      "  812     1   812 Mon Nov  2 08:00:09 2026     S+     0:00.03",
      "  813   812   812 Mon Nov 23 23:59:59 2026     Z   1-02:03:04.00",
      "ps: something else",
      ""
    ].join("\n")
    assert.deepStrictEqual(parsePs(text), [
      { pid: 1, ppid: 0, pgid: 1, sid: 0, startTime: "Mon Nov 23 08:00:01 2026", dead: false, cpuMillis: 62_500 },
      { pid: 812, ppid: 1, pgid: 812, sid: 0, startTime: "Mon Nov 2 08:00:09 2026", dead: false, cpuMillis: 30 },
      { pid: 813, ppid: 812, pgid: 812, sid: 0, startTime: "Mon Nov 23 23:59:59 2026", dead: true, cpuMillis: 93_784_000 }
    ])
  })

  it("reads the process list of Windows, where a parent that is younger than its child is another process", () => {
    const text =
      "4,0,0,1000000\r\n100,4,133000000000000000,20000\r\n200,100,133000000000000005,0\r\n300,200,133000000000000001,0\r\nnoise\r\n"
    assert.deepStrictEqual(
      parseWindows(text).map(({ cpuMillis, pid, ppid, startTime }) => [pid, ppid, startTime, cpuMillis]),
      [
        [4, 0, "0", 100],
        [100, 4, "133000000000000000", 2],
        [200, 100, "133000000000000005", 0],
        [300, 0, "133000000000000001", 0]
      ]
    )
  })

  it("C51 a tree keeps members that left their parent, and takes in their later children", () => {
    const before = refresh(
      membersOf([row(10, 5)]),
      [row(12, 11, { pgid: 12, sid: 12 }), row(11, 10, { pgid: 10, sid: 10 }), row(10, 5)],
      nobody
    )
    assert.deepStrictEqual(pids(before.living), [10, 11, 12])
    // 10 and 11 have died; 12 was handed to init and has forked 13, which was handed to init too but shares its session.
    const after = refresh(before.members, [row(12, 1, { startTime: "t12" }), row(13, 1, { pgid: 13, sid: 12 })], nobody)
    assert.deepStrictEqual(pids(after.living), [12, 13])
  })

  it("C51 a process with a reused pid is not of the tree, nor what descends from it or shares its group", () => {
    const before = refresh(membersOf([row(10, 5)]), [row(10, 5), row(11, 10)], nobody)
    const reused = [row(11, 1, { startTime: "later" }), row(20, 11, { pgid: 11, sid: 11 }), row(10, 5)]
    assert.deepStrictEqual(pids(refresh(before.members, reused, nobody).living), [10])
  })

  it("C51 a root in somebody else's group and session takes nobody in who merely shares them", () => {
    const foreign = { pgid: 3, sid: 3 }
    const rows = [row(3, 1), row(10, 3, foreign), row(11, 10, foreign), row(12, 3, foreign)]
    assert.deepStrictEqual(pids(refresh(membersOf([row(10, 3)]), rows, nobody).living), [10, 11])
  })

  it("C51 zombies count as dead, and protected processes are never taken in", () => {
    const rows = [row(10, 5), row(11, 10, { dead: true }), row(12, 10), row(13, 12)]
    assert.deepStrictEqual(pids(refresh(membersOf([row(10, 5)]), rows, new Set([12])).living), [10])
  })

  it("C51 signals go to groups that a member leads, and to single processes elsewhere", () => {
    const { living, members } = refresh(
      membersOf([row(10, 5, { pgid: 3 })]),
      [row(10, 5, { pgid: 3 }), row(11, 10), row(12, 11, { pgid: 11 })],
      nobody
    )
    assert.deepStrictEqual(targets(living, members, 3), { groups: [11], alone: [10] })
    assert.deepStrictEqual(targets(living, members, 11), { groups: [], alone: [10, 11, 12] })
  })

  it("knows its own ancestors, even in a table that goes in circles", () => {
    assert.deepStrictEqual(
      [...ancestry(30, [row(30, 20), row(20, 10), row(10, 1)])].sort((a, b) => a - b),
      [0, 1, 10, 20, 30]
    )
    assert.deepStrictEqual([...ancestry(2, [row(2, 3), row(3, 2)])].sort(), [0, 1, 2, 3])
  })

  const Step = Schema.Struct({
    act: Schema.Literals(["fork", "fork", "fork", "session", "group", "exit", "exit", "look"]),
    who: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000 }))
  })
  const Steps = Schema.Array(Step).check(Schema.isMaxLength(60))

  it.effect.prop(
    "C51 no sequence of forks, sessions, deaths and reused pids makes a tree take in a stranger",
    [Steps, Schema.Boolean],
    ([steps, always]) =>
      Effect.sync(() => {
        const world = new World()
        let members = membersOf([world.rows()[2] as ProcessRow])
        for (const { act, who } of steps) {
          world.step(act, who)
          if (!always && act !== "look") continue
          const next = refresh(members, world.rows(), nobody)
          members = next.members
          const ours = pids(world.rows().filter((candidate) => world.ours.has(`${candidate.pid}:${candidate.startTime}`)))
          const found = pids(next.living)
          assert.deepStrictEqual(
            found.filter((pid) => !ours.includes(pid)),
            [],
            "a stranger was taken in"
          )
          if (always) assert.deepStrictEqual(found, ours, "a member was lost although every step was looked at")
        }
      }),
    { arbitrary: { runs: 400 } }
  )
})

/** A machine with very few pids: 2 is a foreign program, 3 the root of our tree. */
class World {
  readonly ours = new Set<string>()
  private table: Array<ProcessRow> = []
  private clock = 0

  constructor() {
    this.spawn(1, 0)
    this.spawn(2, 1)
    const root = this.spawn(3, 1)
    this.ours.add(`${root.pid}:${root.startTime}`)
  }

  rows(): ReadonlyArray<ProcessRow> {
    return this.table
  }

  private spawn(pid: number, ppid: number, over: Partial<ProcessRow> = {}): ProcessRow {
    this.clock += 1
    const spawned = row(pid, ppid, { startTime: String(this.clock), ...over })
    this.table.push(spawned)
    return spawned
  }

  private put(changed: ProcessRow): void {
    this.table = this.table.map((old) => (old.pid === changed.pid ? changed : old))
  }

  step(act: string, who: number): void {
    const actors = this.table.slice(1)
    const actor = actors[who % actors.length]
    if (actor === undefined) return
    if (act === "exit") {
      this.table = this.table.filter(({ pid }) => pid !== actor.pid).map((old) => (old.ppid === actor.pid ? { ...old, ppid: 1 } : old))
      if (this.table.length === 1) this.spawn(2, 1)
    }
    if (act === "session" && actor.pgid !== actor.pid) this.put({ ...actor, pgid: actor.pid, sid: actor.pid })
    if (act === "group" && actor.sid !== actor.pid) this.put({ ...actor, pgid: actor.pid })
    if (act === "fork") {
      // The kernel gives no number away that still names a group or a session.
      const taken = new Set(this.table.flatMap(({ pgid, pid, sid }) => [pgid, pid, sid]))
      const pid = [2, 3, 4, 5, 6, 7, 8, 9].find((free) => !taken.has(free))
      if (pid === undefined) return
      const child = this.spawn(pid, actor.pid, { pgid: actor.pgid, sid: actor.sid })
      if (this.ours.has(`${actor.pid}:${actor.startTime}`)) this.ours.add(`${child.pid}:${child.startTime}`)
    }
  }
}
