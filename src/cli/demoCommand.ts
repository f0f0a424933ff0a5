/** `nofx demo`: real agents, real failures, the real runtime, and a report of what happened. */
import * as path from "node:path"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as ProcessSystem from "../agent/ProcessSystem.ts"
import * as Report from "../demo/report.ts"
import { layOut } from "../demo/repository.ts"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import * as DemoText from "./demoText.ts"
import { ExitWith, exitCodes } from "./exitCodes.ts"
import { json, stateDir } from "./flags.ts"
import * as LiveTable from "./liveTable.ts"
import { Machine } from "./machine.ts"
import { commandText } from "./printable.ts"
import { run } from "./runFile.ts"
import { view } from "./viewer.ts"

export const demoCommand = Command.make(
  "demo",
  {
    dir: Flag.String("dir").pipe(
      Flag.withMetavar("DIR"),
      Flag.withDescription("Lay the demo out in this new or empty directory instead of a temporary one"),
      Flag.optional
    ),
    json: json.pipe(Flag.withDescription("Print one JSON event a line; the last one is DemoFinished, the report")),
    stateDir: stateDir.pipe(Flag.withDescription("Keep the durable state in this directory instead of beside the demo's files"))
  },
  Effect.fnUntraced(function* (input) {
    const fs = yield* FileSystem.FileSystem
    const machine = yield* Machine
    const directory = Option.isSome(input.dir)
      ? path.resolve(machine.cwd, input.dir.value)
      : yield* fs.makeTempDirectory({ prefix: "nofx-demo-" })
    const layout = yield* layOut(directory, { node: machine.node })
    const stateDirectory = Option.isSome(input.stateDir)
      ? path.resolve(machine.cwd, input.stateDir.value)
      : path.join(layout.directory, "state")
    const say = (text: string): void => {
      if (!input.json) machine.write(`${text}\n`)
    }
    say(`The demo lies in ${layout.directory}: a small repository, and ${path.basename(layout.taskFile)}, which could be run by hand.`)
    say(`Four agents of the bundled offline kind now work on it, and fail in every way they know.\n`)

    const before = yield* filesIn(layout.repository)
    const events: Array<RuntimeEvent> = []
    const { interrupted } = yield* run(
      { file: layout.taskFile, json: input.json, stateDir: stateDirectory, maxAgents: undefined, fresh: false, permissions: undefined },
      { observe: (event) => void events.push(event), hints: false }
    )
    if (interrupted) return yield* new ExitWith({ code: exitCodes.interrupted })

    const deadLetters = yield* view(stateDirectory, ({ store }) => store.deadLetters({}))
    const report = Report.make({
      events,
      before,
      after: yield* filesIn(layout.repository),
      deadLetters: deadLetters.map(({ cause, id, reason, subject }) => ({ id, subject: subject.split("/").at(-1)!, cause, reason })),
      ...(yield* processesOf(layout.agentState))
    })
    if (input.json) {
      machine.write(`${JSON.stringify({ _tag: "DemoFinished", ...layout, stateDirectory, ...report })}\n`)
    } else {
      const dlq = (...args: ReadonlyArray<string>) => commandText(machine.invocation, ["dlq", ...args, "--state-dir", stateDirectory])
      const text = DemoText.lines(report, {
        style: machine.terminal?.colours === true ? LiveTable.colours : LiveTable.plain,
        columns: machine.terminal?.columns(),
        repository: layout.repository,
        commands: { list: dlq("list"), show: (id) => dlq("show", id) }
      })
      machine.write(`${text.join("\n")}\n`)
    }
    if (report.differs.length > 0) return yield* new ExitWith({ code: exitCodes.unfinished })
  })
).pipe(
  Command.withDescription(
    "Run the demo: a small repository, four offline agents that crash, hang, hit a rate limit, lie about success and leave processes behind, and the real runtime around them. " +
      "Ends with a report of what happened. Exit code 0: everything ended as it must, one dead letter included; 1: it did not."
  )
)

/** Content of every file below a directory, by its path in it. */
const filesIn = Effect.fnUntraced(function* (directory: string) {
  const fs = yield* FileSystem.FileSystem
  const files = new Map<string, string>()
  for (const name of yield* fs.readDirectory(directory, { recursive: true })) {
    const file = path.join(directory, name)
    if ((yield* fs.stat(file)).type === "File") files.set(name, yield* fs.readFileString(file))
  }
  return files
})

/** What is left of the agents' processes: those that carry the demo's variable, and those that an agent noted having left behind. */
const processesOf = Effect.fnUntraced(function* (agentState: string) {
  const fs = yield* FileSystem.FileSystem
  const machine = yield* Machine
  const system = ProcessSystem.make(machine.platform)
  const marked = yield* system.marked(yield* system.list, new Set([`NOFX_DEMO_STATE=${agentState}`]))
  const noted = (yield* fs.readDirectory(agentState)).filter((name) => name.endsWith(".pid"))
  const leftBehind = yield* Effect.forEach(noted, (name) =>
    Effect.gen(function* () {
      const pid = Number(yield* fs.readFileString(path.join(agentState, name)))
      const row = yield* system.find(pid)
      return { pid, alive: row !== undefined && !row.dead }
    })
  )
  const alive = [...marked.map(({ pid }) => pid), ...leftBehind.filter(({ alive }) => alive).map(({ pid }) => pid)]
  return { leftBehind, processes: [...new Set(alive)] }
})
