/** `nofx simulate`: months of operation of the real runtime in a simulated world, from one seed. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type Ablation, names as patterns } from "../simulation/Ablation.ts"
import * as Profile from "../simulation/Profile.ts"
import * as Report from "../simulation/Report.ts"
import * as Result from "../simulation/Result.ts"
import * as Simulation from "../simulation/Simulation.ts"
import { ExitWith, exitCodes } from "./exitCodes.ts"
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
  readonly profile: string
  readonly without: ReadonlyArray<Ablation>
  readonly compare: boolean
  readonly json: boolean
  readonly html: Option.Option<string>
}

const barWidth = 30

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
  const profile = yield* Profile.load(input.profile)
  let interrupted = false
  const unsubscribe = machine.onSignal(() => {
    interrupted = true
  })
  const bar = input.json ? undefined : machine.terminal
  const show = (label: string, progress: Simulation.Progress): void => {
    if (bar === undefined) return
    const filled = Math.round(progress.done * barWidth)
    const date = DateTime.formatIso(DateTime.makeUnsafe(progress.date)).slice(0, 10)
    const line = `${label} ${"#".repeat(filled)}${".".repeat(barWidth - filled)} ${date}  ${Report.count(progress.accepted)} tasks`
    machine.write(`\r${line.slice(0, bar.columns() - 1)}\u001b[K`)
  }

  const run = Effect.fnUntraced(function* (label: string, without: ReadonlyArray<Ablation>) {
    const results: Array<Result.Result> = []
    for (let run = 0; run < input.seeds && !interrupted; run++) {
      const seed = input.seed + run
      const name = input.seeds === 1 ? label : `${label} seed ${seed}`
      results.push(
        yield* Simulation.run({
          profile,
          seed,
          days: input.days,
          agents: input.agents,
          without,
          onProgress: (progress) => show(name, progress),
          stop: () => interrupted
        })
      )
    }
    const [first, ...others] = results
    return first === undefined ? undefined : Result.together([first, ...others])
  })

  const compared: Array<Report.Compared> = []
  const plan: ReadonlyArray<readonly [string, ReadonlyArray<Ablation>]> = [
    [input.without.length === 0 ? "all patterns" : `without ${input.without.join(", ")}`, input.without],
    ...(input.compare ? patterns.map((name) => [`without ${name}`, [...input.without, name]] as const) : [])
  ]
  for (const [name, without] of plan) {
    const result = yield* run(name, without)
    if (result !== undefined) compared.push({ name, result })
  }
  unsubscribe()
  if (bar !== undefined) machine.write("\r\u001b[K")
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
    const fs = yield* FileSystem.FileSystem
    const title = `NofX simulation: ${input.profile}, ${input.days} days`
    yield* fs.writeFileString(input.html.value, Report.html(title, [first, ...others]))
  }
  if (interrupted) return yield* new ExitWith({ code: exitCodes.interrupted })
  if (input.without.length === 0 && !Result.isSound(result)) return yield* new ExitWith({ code: exitCodes.unfinished })
})
