/** Settings of the Redis that machines share; apart from the connection, so that who uses none loads no client. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { PositiveDuration } from "./PositiveDuration.ts"

const duration = (byDefault: string) => PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed(byDefault)))

/** Says what is wrong without a word of the address: a password may stand in it. */
const isAddress = Schema.makeFilter((text: string) => {
  const url = /^rediss?:\/\//.test(text) && URL.canParse(text) ? new URL(text) : undefined
  const right = url !== undefined && url.hostname !== "" && /^\/?\d*$/.test(url.pathname)
  return right || "must be redis://HOST:PORT/DATABASE, or rediss:// for TLS; user and password percent-encoded"
})

/** Where Redis is, and what to do while it is away. */
export const Options = Schema.Struct({
  /** `redis://host:6379/0`, or `rediss://` for TLS. User and password may stand in it; better give them by the environment. */
  url: Schema.String.check(isAddress),
  /** Wins over the one in `url`. */
  username: Schema.optionalKey(Schema.String),
  /** Wins over the one in `url`. Never shown. */
  password: Schema.optionalKey(Schema.RedactedFromValue(Schema.String)),
  /** Number of the database, at least 0; wins over the one in `url`. */
  database: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
  /** PEM text of the authorities that may sign the server's certificate; default: those of the system. Only with `rediss://`. */
  certificateAuthority: Schema.optionalKey(Schema.String),
  /** Begins every key, in braces: all keys of a prefix lie in one slot of a cluster, for one script decides about several. Default `nofx`. */
  prefix: Schema.String.check(Schema.isPattern(/^[^{}\s]+$/)).pipe(Schema.withDecodingDefault(Effect.succeed("nofx"))),
  /**
   * What limits do while Redis is away. `local-share` (default): each process admits its share, the limit divided by the last known number of processes; `refuse`: nothing starts;
   * `allow`: everything does.
   */
  whenAway: Schema.Literals(["local-share", "refuse", "allow"]).pipe(Schema.withDecodingDefault(Effect.succeed("local-share" as const))),
  /**
   * What limits take as spent after Redis was lost or restarted. `spent` (default): everything, since nobody knows, so that no window ever holds more than its limit;
   * `fresh`: nothing, so that work goes on at once, and a window around the loss may hold up to twice its limit.
   */
  afterLoss: Schema.Literals(["spent", "fresh"]).pipe(Schema.withDecodingDefault(Effect.succeed("spent" as const))),
  /** Who gets no answer for so long takes Redis for lost. Default 1 second. */
  timeout: duration("1 second"),
  /** How often a process says that it is there. Default 5 seconds; after three times that it is no member any more. */
  heartbeat: duration("5 seconds"),
  /** The longest pause between two tries to connect; pauses begin at 50 ms, double, and are drawn at random. Default 5 seconds. */
  maxBackoff: duration("5 seconds")
})
export type Options = typeof Options.Type

const decode = Schema.decodeUnknownEffect(Options)

/** A variable of the environment says what cannot be taken. */
export class EnvironmentInvalid extends Schema.TaggedError<EnvironmentInvalid>()("EnvironmentInvalid", {
  variable: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `${this.variable}: ${this.problem}`
  }
}

/** The variables that say where Redis is, and what no file should hold. */
const variables = { url: "NOFX_REDIS_URL", username: "NOFX_REDIS_USERNAME", password: "NOFX_REDIS_PASSWORD" } as const

/** A configuration with what the environment says of Redis: `NOFX_REDIS_URL` where the configuration names none, user and password where it does not say them. */
export const withEnvironment = Effect.fnUntraced(function* <Config extends { readonly redis?: Options }>(
  config: Config,
  env: Readonly<Record<string, string | undefined>>
): Effect.fn.Return<Config, EnvironmentInvalid> {
  const url = env[variables.url] ?? ""
  if (config.redis === undefined && url === "") return config
  const redis =
    config.redis ??
    (yield* Effect.mapError(
      decode({ url }),
      ({ message }) => new EnvironmentInvalid({ variable: variables.url, problem: message.split("\n")[0] ?? "" })
    ))
  const username = redis.username ?? env[variables.username]
  const password = redis.password ?? (env[variables.password] === undefined ? undefined : Redacted.make(env[variables.password] as string))
  return {
    ...config,
    redis: {
      ...redis,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password })
    }
  }
})

/** An environment without them: agents have no business with the limits that bound them. */
export const withoutOwn = (env: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !Object.values<string>(variables).includes(name)))
