/** `nofx host`: the host of a state directory, in the foreground. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Http from "../host/Http.ts"
import * as HostProgram from "../host/HostProgram.ts"
import * as StateDirectory from "../store/StateDirectory.ts"
import { ExitWith, exitCodes } from "./exitCodes.ts"
import { json, stateDir } from "./flags.ts"
import { Machine, place } from "./machine.ts"
import { locate } from "./viewer.ts"

export const hostCommand = Command.make(
  "host",
  {
    json,
    stateDir,
    http: Flag.Int("http").pipe(
      Flag.withMetavar("PORT"),
      Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))),
      Flag.withDescription("Answer /livez, /readyz, /startupz and /metrics on this port; 0: on any that is free"),
      Flag.optional
    ),
    httpHost: Flag.String("http-host").pipe(
      Flag.withMetavar("ADDRESS"),
      Flag.withDescription(`Listen there instead of on 127.0.0.1; other machines need the token in ${Http.tokenVariable}`),
      Flag.withDefault("127.0.0.1")
    )
  },
  Effect.fnUntraced(function* (input) {
    const machine = yield* Machine
    const directory = yield* StateDirectory.ensure(yield* locate(Option.getOrUndefined(input.stateDir)))
    const settings = yield* HostProgram.readSettings(directory)
    const { [Http.tokenVariable]: token, ...env } = HostProgram.environment(machine.env)
    const http = Option.isNone(input.http) ? undefined : yield* Http.make({ port: input.http.value, host: input.httpHost, token })
    const ended = yield* HostProgram.run({
      directory,
      cwd: settings?.cwd ?? machine.cwd,
      config: yield* HostProgram.decodeConfig(settings?.config),
      env,
      place: yield* place,
      ...(settings?.idle === undefined ? {} : { idle: settings.idle }),
      ...(http === undefined ? {} : { also: http.attached }),
      onSignal: machine.onSignal,
      onReady: ({ epoch, pid, socket }) =>
        Console.log(
          input.json
            ? JSON.stringify({ _tag: "HostReady", pid, epoch, socket, directory, ...(http === undefined ? {} : { http: http.url }) })
            : `The host of ${directory} is ready (pid ${pid})${http === undefined ? "" : `; health and metrics on ${http.url}`}`
        )
    })
    const left = ended.abandoned.length === 0 ? "" : `; the next host goes on with ${ended.abandoned.join(", ")}`
    yield* Console.log(input.json ? JSON.stringify({ _tag: "HostEnded", ...ended }) : `The host has ended: ${ended.reason}${left}`)
    if (ended.abandoned.length > 0) return yield* new ExitWith({ code: exitCodes.interrupted })
    if (ended.reason === "fenced") return yield* new ExitWith({ code: exitCodes.owned })
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Run the host of this repository in the foreground: editors and other commands find it, and its work goes on when they are closed. " +
      "It ends by itself when it has had no clients and no work for a while."
  )
)
