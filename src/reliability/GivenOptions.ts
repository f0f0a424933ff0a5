/**
 * Options as a program gives them: any part of them, the rest has its default; durations as `Duration` or as text such as `"30 seconds"`.
 *
 * What users write is decoded at the edge, and fails with a typed error there. A bad constant in a program is a bug of the program: here it throws.
 */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

/** What may be given where `S` describes the options. */
export type Given<S extends { readonly Type: unknown; readonly Encoded: unknown }> = Part<S["Type"], S["Encoded"]>

type Part<Type, Encoded> =
  | Type
  | (Encoded extends object
      ? { readonly [Key in keyof Encoded]: Key extends keyof Type ? Part<Type[Key], Encoded[Key]> : Encoded[Key] }
      : Encoded)

/** Makes the function that completes the options of a pattern. It throws `RangeError`, which names the option, the bound and the value. */
export const complete = <S extends Schema.Codec<unknown, unknown>>(pattern: string, schema: S): ((given: Given<S>) => S["Type"]) => {
  const decode = Schema.decodeUnknownResult(schema, { errors: "all", onExcessProperty: "error" })
  return (given) => {
    const result = decode(withText(given))
    if (Result.isSuccess(result)) return result.success
    const [issue] = problems(result.failure.issue).issues
    const path = (issue?.path ?? []).map((step) => (typeof step === "object" ? step.key : step))
    const value = path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], given)
    throw new RangeError(
      `${[pattern, ...path].map(String).join(".")}: ${issue?.message}, not ${Duration.isDuration(value) ? Duration.format(value) : String(value)}`
    )
  }
}

const problems = SchemaIssue.makeFormatterStandardSchemaV1()

/** Durations as the schemas read them. */
const withText = (value: unknown): unknown => {
  if (Duration.isDuration(value)) return String(value)
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withText(each)]))
}
