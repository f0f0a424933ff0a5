/** `nofx simulate`: months of operation of the real runtime in a simulated world, from one seed. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type Ablation, names as patterns } from "../simulation/Ablation.ts"
import * as Campaign from "../simulation/Campaign.ts"
import * as Profile from "../simulation/Profile.ts"
import * as Report from "../simulation/Report.ts"
import * as Result from "../simulation/Result.ts"
import type * as Simulation from "../simulation/Simulation.ts"
import { ExitWith, exitCodes } from "./exitCodes.ts"
import { exportFile } from "./exportFile.ts"
import { json } from "./flags.ts"
import { Machine } from "./machine.ts"

const wholeNumber = (name: string, byDefault: number, description: string) =>
  Flag.Int(name).pipe(
    Flag.withMetavar("N"),
    Flag.withSchema(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
    Flag.withDescription(`${description}; default ${byDefault}`),
    Flag.withDefault(byDefault)
  )

interface Input {
  readonly days: number
  readonly agents: number
  readonly seed: number
  readonly seeds: number
  readonly threads: number | undefined
  readonly profile: string
  readonly without: ReadonlyArray<Ablation>
  readonly compare: boolean
  readonly json: boolean
  readonly html: Option.Option<string>
}

const barWidth = 30

/** What all runs together have come to, as one line: how far, the virtual date of the run that moved last, tasks, and runs that are over. */
const makeProgress = (runs: number, days: number) => {
  const moving = new Map<number, Simulation.Progress>()
  let ended = 0
  let tasks = 0
  let last: Simulation.Progress | undefined
  return {
    moved: (run: number, progress: Simulation.Progress): void => {
      moving.set(run, progress)
      last = progress
    },
    ended: (run: number): void => {
      tasks += moving.get(run)?.accepted ?? 0
      moving.delete(run)
      ended++
    },
    line: (): string => {
      let done = ended
      let accepted = tasks
      for (const progress of moving.values()) {
        done += progress.done
        accepted += progress.accepted
      }
      const filled = Math.min(barWidth, Math.round((done / runs) * barWidth))
      const date = last === undefined ? "" : DateTime.formatIso(DateTime.makeUnsafe(last.date)).slice(0, 10)
      const which = runs === 1 ? "" : `  ${ended} of ${runs} runs of ${Report.count(days)} days`
      return `${"#".repeat(filled)}${".".repeat(barWidth - filled)} ${date}  ${Report.count(accepted)} tasks${which}`
    }
  }
}

export const simulateCommand = Command.make(
  "simulate",
  {
    days: Flag.Finite("days").pipe(
      Flag.withMetavar("N"),
      Flag.withSchema(Schema.Finite.check(Schema.isBetween({ minimum: 0.01, maximum: 36_500 }))),
      Flag.withDescription("Calendar days; default 7"),
      Flag.withDefault(7)
    ),
    agents: wholeNumber("agents", 8, "Agents"),
    seed: Flag.Int("seed").pipe(
      Flag.withMetavar("N"),
      Flag.withDescription("Decides everything that is random; default 1"),
      Flag.withDefault(1)
    ),
    seeds: wholeNumber("seeds", 1, "Runs, with seeds that follow one another"),
    threads: Flag.Int("threads").pipe(
      Flag.withMetavar("N"),
      Flag.withSchema(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
      Flag.withDescription("Runs at once, where there are several; default: one for each processor"),
      Flag.optional,
      Flag.map(Option.getOrUndefined)
    ),
    profile: Flag.String("profile").pipe(
      Flag.withMetavar("NAME|FILE"),
      Flag.withDescription("Workload and faults: calm, typical, stormy, hostile, or a file in YAML; default typical"),
      Flag.withDefault("typical")
    ),
    without: Flag.Literals("without", patterns).pipe(
      Flag.withMetavar("PATTERN"),
      Flag.withDescription(`Switch a pattern off, as often as you like: ${patterns.join(", ")}`),
      Flag.between(0, patterns.length)
    ),
    compare: Flag.Boolean("compare").pipe(
      Flag.withDescription("Run it with everything, then without each pattern, and print what each is worth"),
      Flag.withDefault(false)
    ),
    json,
    html: Flag.String("html").pipe(Flag.withMetavar("FILE"), Flag.withDescription("Write a report with drawings"), Flag.optional)
  },
  (input) => simulate(input)
).pipe(
  Command.withDescription(
    "Run months of operation of the real runtime in a simulated world, and measure them. The same seed gives the same run. " +
      "Exit code 0: every promise was kept; 1: one was broken; 2: bad usage or profile; 130: interrupted, with what there was."
  )
)

const simulate = Effect.fnUntraced(function* (input: Input) {
  const machine = yield* Machine
  const source = yield* Profile.read(input.profile)
  // What is wrong with it is said before anything runs.
  yield* Effect.fromResult(Profile.fromSource(source))
  // And a report that cannot be written is said before hours of work.
  if (Option.isSome(input.html)) yield* exportFile(input.html.value, "")
  const variants: ReadonlyArray<readonly [name: string, without: ReadonlyArray<Ablation>]> = [
    [input.without.length === 0 ? "all patterns" : `without ${input.without.join(", ")}`, input.without],
    ...(input.compare ? patterns.map((name) => [`without ${name}`, [...input.without, name]] as const) : [])
  ]
  const runs = variants.flatMap(([, without]) =>
    Array.from({ length: input.seeds }, (_, index): Campaign.Run => {
      return { profile: source, seed: input.seed + index, days: input.days, agents: input.agents, without }
    })
  )
  let interrupted = false
  const unsubscribe = machine.onSignal(() => {
    interrupted = true
  })
  const bar = input.json ? undefined : machine.terminal
  const progress = makeProgress(runs.length, input.days)
  const answers = yield* Campaign.run({
    runs,
    threads: input.threads ?? machine.processors,
    stop: () => interrupted,
    onProgress: (run, now) => {
      progress.moved(run, now)
      if (bar !== undefined) machine.write(`\r${progress.line().slice(0, bar.columns() - 1)}\u001b[K`)
    },
    onAnswer: progress.ended
  })
  unsubscribe()
  if (bar !== undefined) machine.write("\r\u001b[K")

  const results = answers.map((answer) => (answer?._tag === "Ended" ? answer.result : undefined))
  const died = answers.find((answer) => answer?._tag === "Died")
  if (died !== undefined) return yield* Effect.die(new Error(died.problem))
  const compared: Array<Report.Compared> = []
  for (const [index, [name]] of variants.entries()) {
    const [one, ...more] = results.slice(index * input.seeds, (index + 1) * input.seeds).filter((result) => result !== undefined)
    if (one === undefined) continue
    const result = Result.together([one, ...more])
    compared.push({ name, result: { ...result, complete: result.complete && result.seeds === input.seeds } })
  }
  const [first, ...others] = compared
  if (first === undefined) return yield* new ExitWith({ code: exitCodes.interrupted })

  const { result } = first
  if (input.json) {
    const document = Result.forPrograms(result)
    const ablations = Object.fromEntries(others.map((other) => [other.name.replace(/^without /, ""), Result.forPrograms(other.result)]))
    yield* Console.log(JSON.stringify(input.compare ? { ...document, ablations } : document))
  } else {
    yield* Console.log(Report.summary(result))
    if (others.length > 0) yield* Console.log(`\n${Report.comparison(compared)}`)
    for (const violation of result.violations) yield* Console.log(`broken: ${violation.rule}: ${violation.detail}`)
  }
  if (Option.isSome(input.html)) {
    const title = `NofX simulation: ${input.profile}, ${input.days} days`
    yield* exportFile(input.html.value, Report.html(title, [first, ...others]))
  }
  if (interrupted) return yield* new ExitWith({ code: exitCodes.interrupted })
  if (input.without.length === 0 && !Result.isSound(result)) return yield* new ExitWith({ code: exitCodes.unfinished })
})
