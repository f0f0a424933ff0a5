/** `nofx pause` and `nofx resume`: whether queued tasks may start. Survives restarts. */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { json, stateDir } from "./flags.ts"
import { operate, tell } from "./operate.ts"

export const pauseCommand = Command.make("pause", { json, stateDir }, ({ json, stateDir }) =>
  Effect.andThen(
    operate(Option.getOrUndefined(stateDir), (runtime) => runtime.pause, { create: true }),
    tell(json, { _tag: "Paused" }, "Paused: no task starts until nofx resume")
  )
).pipe(Command.withDescription("Let no queued task start, in this run or any later one, until nofx resume."))

export const resumeCommand = Command.make("resume", { json, stateDir }, ({ json, stateDir }) =>
  Effect.flatMap(
    operate(Option.getOrUndefined(stateDir), (runtime, hosted) => Effect.as(runtime.resume, hosted)),
    (hosted) => tell(json, { _tag: "Resumed" }, `Resumed: queued tasks start ${hosted ? "again" : "with the next nofx run"}`)
  )
).pipe(Command.withDescription("Let queued tasks start again after nofx pause."))
