/** `nofx host`: the host of a state directory, in the foreground. */
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as HostProgram from "../host/HostProgram.ts"
import * as StateDirectory from "../store/StateDirectory.ts"
import { ExitWith, exitCodes } from "./exitCodes.ts"
import { json, stateDir } from "./flags.ts"
import { Machine, place } from "./machine.ts"
import { locate } from "./viewer.ts"

export const hostCommand = Command.make(
  "host",
  { json, stateDir },
  Effect.fnUntraced(function* (input) {
    const machine = yield* Machine
    const directory = yield* StateDirectory.ensure(yield* locate(Option.getOrUndefined(input.stateDir)))
    const settings = yield* HostProgram.readSettings(directory)
    const ended = yield* HostProgram.run({
      directory,
      cwd: settings?.cwd ?? machine.cwd,
      config: yield* HostProgram.decodeConfig(settings?.config),
      env: HostProgram.environment(machine.env),
      place: yield* place,
      ...(settings?.idle === undefined ? {} : { idle: settings.idle }),
      onSignal: machine.onSignal,
      onReady: ({ epoch, pid, socket }) =>
        Console.log(
          input.json
            ? JSON.stringify({ _tag: "HostReady", pid, epoch, socket, directory })
            : `The host of ${directory} is ready (pid ${pid})`
        )
    })
    const left = ended.abandoned.length === 0 ? "" : `; the next host goes on with ${ended.abandoned.join(", ")}`
    yield* Console.log(input.json ? JSON.stringify({ _tag: "HostEnded", ...ended }) : `The host has ended: ${ended.reason}${left}`)
    if (ended.abandoned.length > 0) return yield* new ExitWith({ code: exitCodes.interrupted })
    if (ended.reason === "fenced") return yield* new ExitWith({ code: exitCodes.owned })
  })
).pipe(
  Command.withDescription(
    "Run the host of this repository in the foreground: editors and other commands find it, and its work goes on when they are closed. " +
      "It ends by itself when it has had no clients and no work for a while."
  )
)
