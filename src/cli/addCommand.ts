/** `nofx add "PROMPT"`: queues a task, durably; the next run has it. */
import * as Argument from "effect/cli/Argument"
import * as Clock from "effect/Clock"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import type { TaskInput } from "../AgentRuntime.ts"
import { EffectClass, Priority } from "../task/Task.ts"
import { json, stateDir } from "./flags.ts"
import { operate, tell } from "./operate.ts"

const optional = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional)

export const addCommand = Command.make(
  "add",
  {
    prompt: Argument.String("PROMPT").pipe(Argument.withDescription("What the agent is asked")),
    id: optional("id", "ID", "Id of the task; default: made from the time"),
    agent: optional("agent", "AGENT", "The one agent that is to do it; default: any that can"),
    capabilities: optional("capabilities", "A,B", "What the agent must be able to do"),
    effect: Flag.Literals("effect", EffectClass.literals).pipe(
      Flag.withDescription("May it run again? Default unsafe: it never runs twice"),
      Flag.optional
    ),
    priority: Flag.Literals("priority", Priority.literals).pipe(Flag.withDescription("Default medium"), Flag.optional),
    deadline: optional("deadline", "DURATION", 'From now to its end, all waiting included, as in "30 minutes"'),
    json,
    stateDir
  },
  Effect.fnUntraced(function* (input) {
    const given = <Key extends string, Value>(key: Key, value: Option.Option<Value>): { readonly [K in Key]?: Value } =>
      Option.isNone(value) ? {} : ({ [key]: value.value } as { readonly [K in Key]: Value })
    const now = yield* Clock.currentTimeMillis
    const task: TaskInput = {
      id: Option.getOrElse(input.id, () => `task-${now.toString(36)}`),
      prompt: input.prompt,
      ...given("agent", input.agent),
      ...given("effect", input.effect),
      ...given("priority", input.priority),
      ...given("deadline", input.deadline),
      ...given(
        "capabilities",
        Option.map(input.capabilities, (text) => text.split(",").filter((each) => each !== ""))
      )
    }
    const { hosted, view } = yield* operate(
      Option.getOrUndefined(input.stateDir),
      (runtime, hosted) => Effect.map(runtime.submit(task), (view) => ({ hosted, view })),
      { create: true }
    )
    const who = hosted ? "the host that runs here starts it" : "the next nofx run here has it"
    yield* tell(
      input.json,
      { _tag: "TaskAdded", taskId: view.id, key: view.key, state: view.state },
      `Task ${view.id} is queued; ${who}, if one of its agents can do it`
    )
  })
).pipe(
  Command.withDescription(
    "Queue a task, durably. The next run here starts it before the tasks of its file, if one of its agents can do it."
  )
)
