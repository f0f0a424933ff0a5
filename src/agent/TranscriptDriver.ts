/** Writes the transcript of every attempt, around a driver: neither it nor the runtime knows of it. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Claim } from "../task/Task.ts"
import type { AgentDriver, AttemptContext, AttemptFailure, Progress } from "./AgentDriver.ts"
import * as Transcript from "./Transcript.ts"

export interface Options {
  readonly limits: Transcript.Limits
  /** Takes secrets out of plain JSON. */
  readonly redact: <A>(value: A) => A
}

/** The driver, with every attempt written down in its agent's directory. */
export const recorded = (driver: AgentDriver, options: Options): AgentDriver => ({
  ...driver,
  open: (spec, context) =>
    Effect.map(driver.open(spec, context), (session) => ({
      ...session,
      run: (attempt) => record(attempt, spec.id, context.directory, options, session.run)
    }))
})

const record = (
  attempt: AttemptContext,
  agentId: string,
  directory: string,
  options: Options,
  run: (attempt: AttemptContext) => Effect.Effect<Claim, AttemptFailure>
): Effect.Effect<Claim, AttemptFailure> =>
  Effect.clockWith((clock) =>
    Effect.suspend(() => {
      const now = () => clock.currentTimeMillisUnsafe()
      const { attemptId, task } = attempt
      Transcript.prune(directory, options.limits, now(), attemptId)
      const writer = Transcript.open({ directory, attemptId, maxBytes: options.limits.maxBytes, redact: options.redact })
      const ids = { taskId: task.id, agentId, run: attempt.run, attempt: attempt.attempt, attemptId }
      writer.write({ _tag: "Began", at: now(), ...ids, prompt: task.prompt })
      const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() }
      return run({
        ...attempt,
        progress: (progress) => {
          note(writer, now(), progress)
          attempt.progress(progress)
        },
        printed: (stream, chunk) =>
          writer.append(stream === "stdout" ? "Stdout" : "Stderr", now(), decoders[stream].decode(chunk, { stream: true })),
        permission: (request) =>
          Effect.tap(attempt.permission(request), (answer) =>
            Effect.sync(() => {
              const { detail, kind, title } = request
              const chosen = request.options.find((option) => option.id === answer)?.name ?? answer ?? "rejected"
              writer.write({ _tag: "Permission", at: now(), title, kind, detail, answer: chosen })
            })
          )
      }).pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => {
            writer.write({ _tag: "Ended", at: now(), ...endOf(exit) })
            writer.close()
          })
        )
      )
    })
  )

const note = (writer: Transcript.Writer, at: number, progress: Progress): void => {
  switch (progress._tag) {
    case "Text":
    case "Thought":
      return writer.append(progress._tag, at, progress.text)
    case "Tool":
    case "Waiting":
      return writer.write({ ...progress, at })
    case "Usage":
      return writer.write({ _tag: "Usage", at, ...progress.usage })
    case "Output":
      return
  }
}

const endOf = (exit: Exit.Exit<Claim, AttemptFailure>): Pick<Extract<Transcript.Entry, { _tag: "Ended" }>, "outcome" | "detail"> => {
  if (Exit.isSuccess(exit)) return { outcome: "claimed", detail: exit.value.stop }
  const failure = exit.cause.reasons.find(Cause.isFailReason)?.error
  if (failure !== undefined) return { outcome: "failed", detail: `${failure.fault._tag}: ${failure.fault.detail}` }
  return { outcome: "stopped", detail: Cause.hasInterruptsOnly(exit.cause) ? "it was stopped" : Cause.pretty(exit.cause) }
}
