/** What the window knows and shows: one value, from which every view is computed. */
import type { Snapshot } from "../../src/RuntimeStatus.ts"
import type { HostAbout } from "./Hosts.ts"
import type { Place } from "./Place.ts"

export interface View {
  readonly place: Place
  /** `idle`: nobody has asked for the runtime yet; `stopped`: it was shut down, and nobody has asked for it since. */
  readonly link: "idle" | "connecting" | "connected" | "failed" | "stopped"
  /** Why it is `failed`, one sentence. */
  readonly problem: string | undefined
  /** The last one, also while the link is interrupted. */
  readonly snapshot: Snapshot | undefined
  /** Where the host keeps its state. */
  readonly stateDirectory: string | undefined
  /** The host, for people. */
  readonly about: HostAbout["about"]
  /** Host and extension are of different versions. */
  readonly skew: HostAbout["skew"]
  /** The settings have changed since the host was started. */
  readonly outdated: boolean
  /** How many tasks the host still ends before it is replaced; undefined: it is not to be. */
  readonly retiring: number | undefined
}

/** Puts a text into the user's language; `{0}` stands for the first argument. */
export type Translate = (message: string, ...values: ReadonlyArray<string | number | boolean>) => string

/** The state of health, with what is not well. */
export const healthText = ({ checks, degraded, reasons, status }: Snapshot["status"]["health"]): string => {
  const seen = [
    ...reasons,
    ...checks
      .filter((check) => check.status === "unhealthy" || check.status === "degraded")
      .map(({ name, observed }) => `${name}: ${observed}`),
    ...degraded.map(({ cause, component }) => `${component}: ${cause}`)
  ]
  return [status, ...(reasons.length > 0 ? reasons : seen)].join(", ")
}

/** A length of time in words, with its two largest units at most: `42 s`, `3 min`, `2 h 5 min`, `4 d`. */
export const span = (millis: number): string => {
  const seconds = Math.max(0, Math.round(millis / 1000))
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 24) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`
  return `${Math.floor(hours / 24)} d`
}

/** A moment: the time of a day, with the date when it is another day than `now`. */
export const moment = (at: number, now: number): string => {
  const date = new Date(at)
  const time = date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })
  return date.toDateString() === new Date(now).toDateString() ? time : `${date.toLocaleDateString()} ${time}`
}

/** The beginning of a text on one line. */
export const brief = (text: string, length = 120): string => {
  const line = text.replaceAll(/\s+/g, " ").trim()
  return line.length <= length ? line : `${line.slice(0, length - 1)}…`
}
