import { assert, describe, it } from "vitest"
import * as Notices from "../../extension/src/Notices.ts"
import { placeOf } from "../../extension/src/Place.ts"
import { shown } from "../../extension/src/StatusBarText.ts"
import * as AgentsTree from "../../extension/src/trees/AgentsTree.ts"
import * as DeadLettersTree from "../../extension/src/trees/DeadLettersTree.ts"
import { groupLimit, type Node, plain } from "../../extension/src/trees/Node.ts"
import * as TasksTree from "../../extension/src/trees/TasksTree.ts"
import * as TranscriptText from "../../extension/src/TranscriptText.ts"
import { span } from "../../extension/src/View.ts"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import type { Snapshot } from "../../src/RuntimeStatus.ts"
import { agent, now, snapshot, t, task, view } from "./support/views.ts"

const all = (nodes: ReadonlyArray<Node>): ReadonlyArray<Node> => nodes.flatMap((node) => [node, ...all(node.children ?? [])])

const letter = (id: string, cause: string, more: Partial<Snapshot["deadLetters"][number]> = {}): Snapshot["deadLetters"][number] => ({
  id,
  kind: "task",
  subject: `batch/${id}`,
  status: "pending",
  reason: "why",
  cause,
  createdAt: now,
  failedAt: now,
  failures: 1,
  redrives: 0,
  automatic: false,
  payload: {},
  versions: {},
  ...more
})

describe("rows", () => {
  it("put every agent into one group, what needs somebody first, under ids that stay", () => {
    const agents = [
      agent("idle"),
      agent("failed", { state: "failed", detail: "it died" }),
      agent("busy", { state: "working", task: "t" }),
      agent("asks", { state: "waiting", permission: "p" }),
      agent("late", { state: "stalled" })
    ]
    const nodes = AgentsTree.nodes(snapshot({ agents }), now, t, groupLimit)
    assert.deepStrictEqual(
      nodes.map(({ label }) => label),
      ["Needs you", "Working", "Stalled", "Failed", "Idle"]
    )
    const ids = all(nodes).map(({ id }) => id)
    assert.strictEqual(new Set(ids).size, ids.length)
    assert.deepStrictEqual(
      ids,
      all(AgentsTree.nodes(snapshot({ agents }), now + 60_000, t, groupLimit)).map(({ id }) => id)
    )
    for (const node of all(nodes)) assert.isAbove(node.spoken.length, 3, node.id)
  })

  it("stay bounded with 5,000 tasks, and say how many there are", () => {
    // A snapshot holds fewer than there are.
    const tasks = Array.from({ length: 2_000 }, (_, index) => task(`t${index}`))
    const { status } = snapshot()
    const counted = { ...snapshot({ tasks }), status: { ...status, tasks: { ...status.tasks, queued: 5_000 } } }
    const [queued] = TasksTree.nodes(counted, now, t, groupLimit)
    assert.strictEqual(queued!.description, "5000")
    assert.strictEqual(queued!.children!.length, groupLimit + 1)
    assert.match(queued!.children!.at(-1)!.label, /4800 more/)
  })

  it("show the queue in its order: priority, then age", () => {
    const tasks = [
      task("new", { acceptedAt: now }),
      task("old", { acceptedAt: now - 9 }),
      task("urgent", { priority: "high", acceptedAt: now })
    ]
    const [queued] = TasksTree.nodes(snapshot({ tasks }), now, t, groupLimit)
    assert.deepStrictEqual(
      queued!.children!.map(({ label }) => label),
      ["urgent", "old", "new"]
    )
  })

  it("C18 put an agent whose circuit is open, or whose account rests, under those that wait", () => {
    const agents = [agent("broken", { account: "one" }), agent("limited", { account: "two" }), agent("free", { account: "three" })]
    const { status } = snapshot()
    const counts = { successes: 0, calls: 0, succeeded: 0, failed: 0, ignored: 0, rejected: 0, inFlight: 0, openings: 1 }
    const breakers = [{ key: "agent:broken", state: "open", failures: 2, ...counts }] as unknown as typeof status.breakers
    const gates = [{ account: "two", state: "closed", until: now + 60_000 }] as unknown as typeof status.gates
    const nodes = AgentsTree.nodes({ ...snapshot({ agents }), status: { ...status, breakers, gates } }, now, t, groupLimit)
    assert.deepStrictEqual(
      nodes.map(({ children, label }) => [label, children!.map((child) => child.label)]),
      [
        ["Waiting", ["broken", "limited"]],
        ["Idle", ["free"]]
      ]
    )
  })

  it("say what a task waits for, and how long", () => {
    const waiting = { for: "cooldown", detail: "account mine rests", notBefore: now + 90_000 } as const
    const [parked] = TasksTree.nodes(snapshot({ tasks: [task("a", { state: "parked", waiting })] }), now, t, groupLimit)
    assert.match(parked!.children![0]!.description!, /account mine rests, in 1 min/)
  })

  it("group dead letters by cause, the most frequent first", () => {
    const nodes = DeadLettersTree.nodes(
      snapshot({ deadLetters: [letter("a", "Outage"), letter("b", "OutcomeUnknown"), letter("c", "OutcomeUnknown")] }),
      now,
      t,
      groupLimit
    )
    assert.deepStrictEqual(
      nodes.map(({ description, label }) => [label, description]),
      [
        ["Outcome unknown", "2"],
        ["Outage", "1"]
      ]
    )
  })

  it("say of each dead letter what comes next", () => {
    const asked = { at: now, group: "batch" }
    const said = (more: Partial<Snapshot["deadLetters"][number]>) =>
      DeadLettersTree.nodes(snapshot({ deadLetters: [letter("a", "Outage", more)] }), now, t, groupLimit)[0]!.children![0]!.description
    assert.deepStrictEqual(
      [
        {},
        { redriveAt: now + 60_000 },
        { redriveAt: now },
        { status: "redriving", asked },
        { asked },
        { asked: { ...asked, left: "the first one failed again" } }
      ].map((more) => said(more as object)),
      [
        "why · for you to decide",
        "why · tries again in 1 min",
        "why · tries again soon",
        "why · is being tried again",
        "why · waits for the one that goes first",
        "why · for you to decide: the first one failed again"
      ]
    )
  })

  it("take nothing of what an agent says for markup", () => {
    assert.strictEqual(plain("[click](command:evil) **b** <img>"), "\\[click\\]\\(command:evil\\) \\*\\*b\\*\\* \\<img\\>")
  })
})

describe("the status bar item", () => {
  it("is not there without a folder, or before anything was asked for", () => {
    assert.isUndefined(shown(view({ place: { _tag: "untrusted" } }), t))
    assert.isUndefined(shown(view({ snapshot: undefined, link: "idle" }), t))
  })

  it("never says that all is well when it is not, or not known", () => {
    const lost = shown(view({ link: "connecting", problem: "the host is gone" }), t)!
    assert.match(lost.spoken, /reconnecting/)
    const asked = snapshot({
      permissions: [{ requestId: "r", agentId: "a", taskId: "t", askedAt: now, title: "x", kind: "edit", detail: "", options: [] }]
    })
    assert.strictEqual(shown(view({ snapshot: asked }), t)!.level, "warning")
    assert.strictEqual(shown(view({}), t)!.level, "normal")
  })
})

describe("notices", () => {
  const play = (events: ReadonlyArray<RuntimeEvent>) => {
    let state = Notices.initial
    return events.flatMap((event) => {
      const [next, notices] = Notices.onEvent(state, event, t)
      state = next
      return notices
    })
  }
  const alert = (raised: boolean): RuntimeEvent => ({ _tag: "HealthAlert", at: now, incident: "disk#1", raised, detail: "disk is full" })

  it("C35 are one for an incident and one when it is over, however often it is reported", () => {
    const notices = play([alert(true), alert(true), alert(true), alert(false), alert(false)])
    assert.deepStrictEqual(
      notices.map(({ good }) => good),
      [false, true]
    )
  })

  it("C35 are none for what follows from a shutdown that somebody asked for, and are there again after it", () => {
    const paused: RuntimeEvent = { _tag: "IntakePaused", at: now, cause: "it shuts down" }
    const started: RuntimeEvent = { _tag: "RuntimeStarted", at: now, epoch: 2, recovered: 0, reaped: 0 }
    assert.strictEqual(play([{ _tag: "ShutdownPhaseStarted", at: now, phase: "stop-intake", remaining: 1 }, paused]).length, 0)
    assert.strictEqual(play([{ _tag: "ShutdownPhaseStarted", at: now, phase: "stop-intake", remaining: 1 }, started, paused]).length, 1)
  })

  it("C35 are one for a circuit that flaps while it is open, and none for one that was never told of", () => {
    const change = (from: string, to: string): RuntimeEvent => ({
      _tag: "CircuitStateChanged",
      at: now,
      key: "agent:a",
      from,
      to,
      cause: "crashed"
    })
    assert.strictEqual(
      play([change("closed", "open"), change("open", "half-open"), change("half-open", "open"), change("half-open", "open")]).length,
      1
    )
    assert.strictEqual(play([change("half-open", "closed")]).length, 0)
  })

  it("C35 tell of many dead letters together, at most once a minute, and lose none in the count", () => {
    const letter = (at: number): RuntimeEvent => ({
      _tag: "DeadLetterAdded",
      at,
      deadLetterId: "d",
      kind: "task",
      subject: "s",
      reason: "why"
    })
    let state = Notices.initial
    const told: Array<string> = []
    for (let index = 0; index < 10; index++) {
      const [next, notices] = Notices.onEvent(state, letter(now + index), t)
      state = next
      told.push(...notices.map(({ text }) => text))
    }
    assert.strictEqual(told.length, 1)
    const [after, late] = Notices.onTime(state, now + Notices.letterMillis, t)
    assert.match(late[0]!.text, /^9 tasks/)
    assert.deepStrictEqual(Notices.onTime(after, now + 2 * Notices.letterMillis, t)[1], [])
  })
})

describe("the folder of a window", () => {
  const folder = (name: string, scheme = "file") => ({ name, uri: { scheme, fsPath: `/${name}` } })

  it("is the chosen one of several, else the first on this machine", () => {
    const folders = [folder("far", "vscode-vfs"), folder("a"), folder("b")]
    assert.deepStrictEqual(placeOf({ folders, trusted: true, chosen: undefined }), { _tag: "ready", directory: "/a", name: "a" })
    assert.deepStrictEqual(placeOf({ folders, trusted: true, chosen: "/b" }), { _tag: "ready", directory: "/b", name: "b" })
    assert.strictEqual(placeOf({ folders, trusted: false, chosen: undefined })._tag, "untrusted")
    assert.strictEqual(placeOf({ folders: folders.slice(0, 1), trusted: true, chosen: undefined })._tag, "virtual")
    assert.strictEqual(placeOf({ folders: [], trusted: true, chosen: undefined })._tag, "noFolder")
  })
})

describe("a transcript", () => {
  it("joins pieces of one answer, puts everything else on lines of its own, and stays bounded", () => {
    const pieces = [
      { _tag: "Text", at: now, text: "Hel" },
      { _tag: "Text", at: now, text: "lo" },
      { _tag: "Tool", at: now, id: "1", title: "read a file", kind: "read", status: "completed" }
    ] as const
    const short = pieces.map(TranscriptText.entryText).reduce(TranscriptText.append, "")
    assert.strictEqual(short, "Hello\n▸ read a file (completed)\n")
    let long = ""
    for (let index = 0; index < 800; index++) long = TranscriptText.append(long, `${"x".repeat(1_000)}\n`)
    assert.isAtMost(long.length, TranscriptText.shownCharacters)
  })
})

describe("a length of time", () => {
  it("is said with its two largest units", () => {
    assert.deepStrictEqual([0, 42_000, 180_000, 7_500_000, 400_000_000].map(span), ["0 s", "42 s", "3 min", "2 h 5 min", "4 d"])
  })
})
