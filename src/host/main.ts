#!/usr/bin/env node
/** The entry of a host that runs by itself: `main.ts STATE_DIRECTORY`. Everything else it is told by the settings in that directory. */
import * as os from "node:os"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as HostProgram from "./HostProgram.ts"

const directory = process.argv[2] ?? ""
const listeners = new Set<(count: number) => void>()
let signals = 0

const program = Effect.gen(function* () {
  const settings = (yield* HostProgram.readSettings(directory)) ?? { cwd: os.homedir(), config: {} }
  return yield* HostProgram.run({
    directory,
    cwd: settings.cwd,
    config: yield* HostProgram.decodeConfig(settings.config),
    env: HostProgram.environment(process.env),
    place: { platform: process.platform, env: process.env, home: os.homedir() },
    ...(settings.idle === undefined ? {} : { idle: settings.idle }),
    onSignal: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    }
  })
})

const fiber = Effect.runFork(
  Effect.provide(program, [NodeServices.layer, Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)]) as Layer.Layer<never>])
)

const onSignal = (): void => {
  signals++
  if (signals > 2) process.exit(130)
  if (listeners.size === 0) return fiber.interruptUnsafe()
  for (const listener of [...listeners]) listener(signals)
}
process.on("SIGINT", onSignal)
process.on("SIGTERM", onSignal)
// A terminal or a window that goes away is no end of the host.
process.on("SIGHUP", () => {})

// Timers and handles of its own do not keep the process; the work does.
const alive = setInterval(() => {}, 2 ** 30)
fiber.addObserver((exit) => {
  clearInterval(alive)
  if (Exit.isSuccess(exit)) process.exit(exit.value.abandoned.length === 0 ? 0 : 130)
  const error = Cause.squash(exit.cause)
  const owned = (error as { readonly _tag?: string } | undefined)?._tag === "OwnedByAnother"
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`, () =>
    process.exit(owned ? 3 : Cause.hasInterruptsOnly(exit.cause) ? 130 : 70)
  )
})
