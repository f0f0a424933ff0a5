/**
 * The fault model: everything that goes wrong in a simulated world, as data. A part that is absent does not happen.
 *
 * `every` is a mean distance; distances are exponential, that is, faults come independently of each other. Why the rates of the built-in profiles
 * are what they are stands in `README.md` beside this file.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { PositiveDuration } from "../reliability/PositiveDuration.ts"

export const Share = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
export const share = (byDefault: number) => Share.pipe(Schema.withDecodingDefault(Effect.succeed(byDefault)))
export const duration = (byDefault: string) => PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed(byDefault)))
export const section = <S extends Schema.Struct.Fields>(fields: S) =>
  Schema.Struct(fields).pipe(Schema.withDecodingDefault(Effect.succeed({} as never)))

const optional = <S extends Schema.Struct.Fields>(fields: S) => Schema.optionalKey(Schema.Struct(fields))

/** One agent's process. */
export const AgentFaults = Schema.Struct({
  /** From its start until it takes work. Default 3 seconds. */
  start: duration("3 seconds"),
  /** Share of starts that fail. Default 0. */
  startFails: share(0),
  /** Mean working time between crashes of the process. */
  crashEvery: Schema.optionalKey(PositiveDuration),
  /** Mean working time between hangs: alive, and nothing moves any more. */
  hangEvery: Schema.optionalKey(PositiveDuration),
  /** Some turns take longer. */
  slow: optional({ share: Share, factor: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(1)) }),
  /** Share of turns that end with an answer that breaks the protocol. Default 0. */
  corrupt: share(0),
  /** Share of turns that claim success although the work is not done. Default 0. */
  falseSuccess: share(0)
})

/** One account's provider. */
export const ProviderFaults = Schema.Struct({
  /** Mean working time between network faults, resets and 5xx answers that end a turn. */
  transientEvery: Schema.optionalKey(PositiveDuration),
  /** Nothing answers. */
  outage: optional({ every: PositiveDuration, length: PositiveDuration }),
  /** Each new turn is refused with this chance. */
  overload: optional({ every: PositiveDuration, length: PositiveDuration, refuses: Share }),
  /** The account's usage window is used up, until it resets. */
  usageLimit: optional({
    every: PositiveDuration,
    window: PositiveDuration,
    /** What is left of the window then: evenly between these shares of it. */
    leastLeft: Share,
    mostLeft: Share,
    /** Share of refusals that name the time of the reset. */
    named: Share
  }),
  /** The login expires, until a person has renewed it. */
  authLoss: optional({ every: PositiveDuration, repair: PositiveDuration })
})

/** The machine, and the process that the runtime lives in. Distances are of the time in which it is awake. */
export const MachineFaults = Schema.Struct({
  /** The process is killed at any moment, and started again after a while. */
  kill: optional({ every: PositiveDuration, restart: PositiveDuration }),
  /** It sleeps. Turns that were under way lose their connection with this chance. */
  suspend: optional({ every: PositiveDuration, length: PositiveDuration, breaks: Share }),
  /** Somebody, or a time server, sets the wall clock, forward or back, by up to this much. */
  clockStep: optional({ every: PositiveDuration, size: PositiveDuration }),
  /** The event loop stands still. */
  stall: optional({ every: PositiveDuration, length: PositiveDuration }),
  /** The disk is full. */
  diskFull: optional({ every: PositiveDuration, length: PositiveDuration })
})

/** The person whose work it is. */
export const Person = Schema.Struct({
  /** Mean time until a person looks at what waits for a decision. Absent: nobody ever does. */
  looksAfter: Schema.optionalKey(PositiveDuration),
  /** Nobody waits longer than this. Default 2 hours. */
  atMost: duration("2 hours")
})

export const FaultModel = Schema.Struct({
  agent: section(AgentFaults.fields),
  provider: section(ProviderFaults.fields),
  machine: section(MachineFaults.fields),
  person: section(Person.fields)
})
export type FaultModel = typeof FaultModel.Type
