/**
 * Refusals as plain values: errors made without a stack trace.
 *
 * An overload refuses thousands of calls a second; a captured stack would cost more than everything else that a refusal does
 * (measured: 5 µs with a stack, 1 µs with `Error.stackTraceLimit = 0`, under 0.1 µs this way), and would only point into this directory.
 */

/** An error class with a tag, as `Schema.TaggedError` makes them. */
interface ErrorClass<Self> {
  readonly prototype: Self
  readonly identifier: string
}

/** The fields of an error: what its constructor takes. */
type FieldsOf<Class> = Class extends abstract new (fields: infer Fields, ...rest: never) => unknown ? NonNullable<Fields> : never

/**
 * Makes the constructor of refusals of one error class. What it makes is an instance of that class (`instanceof Error`, yieldable, encodable
 * with its schema, caught by its tag), but `Error`'s constructor did not run: it has no stack, and its fields are not checked.
 */
export const refusals = <Self, Class extends ErrorClass<Self>>(
  errorClass: Class & ErrorClass<Self>
): ((fields: FieldsOf<Class>) => Self) => {
  const tag = errorClass.identifier
  function Refusal(this: object, fields: object) {
    Object.assign(this, fields)
    // After the fields, so that nothing in them can change what it is.
    ;(this as { _tag: string })._tag = tag
  }
  Refusal.prototype = errorClass.prototype
  const construct = Refusal as unknown as new (fields: object) => Self
  return (fields) => new construct(fields as object)
}
