import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { hintOfField, parseRetryHint, parseSpan, parseTime } from "../../src/agent/RetryHint.ts"

/** Tuesday 2026-11-24, 12:00 UTC. */
const now = Date.UTC(2026, 10, 24, 12, 0, 0)
const hour = 3_600_000

describe("RetryHint", () => {
  const texts: ReadonlyArray<readonly [string, ReturnType<typeof parseRetryHint>]> = [
    ["Resource has been exhausted.\nSuggested retry after 600s.", { retryAfterMillis: 600_000 }],
    ["Suggested retry after 2s.. Retrying after 5675ms...", { retryAfterMillis: 2_000 }],
    ["  retryDelayMs: 600000,\n  status: 429", { retryAfterMillis: 600_000 }],
    ["retryDelayMs: undefined", {}],
    ['"retryDelay": "34.074824224s"', { retryAfterMillis: 34_075 }],
    ["Retrying in 60s (attempt 1/10)", { retryAfterMillis: 60_000 }],
    ["Rate limit reached ... Please try again in 20s.", { retryAfterMillis: 20_000 }],
    ["Please try again in 1m30.5s. Visit", { retryAfterMillis: 90_500 }],
    ["Please try again in 6m0s.", { retryAfterMillis: 360_000 }],
    ["try again in 850ms", { retryAfterMillis: 850 }],
    ["Try again in 5 days 3 hours 2 minutes.", { retryAfterMillis: 5 * 86_400_000 + 3 * hour + 120_000 }],
    ["please wait 30 seconds and", { retryAfterMillis: 30_000 }],
    ["retry-after: 120", { retryAfterMillis: 120_000 }],
    ["Retry-After: Tue, 24 Nov 2026 12:05:00 GMT", { resetsAt: now + 300_000 }],
    ['{"retry-after":"7"}', { retryAfterMillis: 7_000 }],
    ["retry-after-ms: 1500", { retryAfterMillis: 1_500 }],
    ['{"retryAfterMs":2500}', { retryAfterMillis: 2_500 }],
    ["rate limited (429), retry after 2s", { retryAfterMillis: 2_000 }],
    ["rate limited (429), retry after ?s", {}],
    ['{"resets_in_seconds": 90}', { retryAfterMillis: 90_000 }],
    ["Your limit resets at 2026-11-24T15:00:00Z", { resetsAt: now + 3 * hour }],
    ["resets at 3pm (UTC)", { resetsAt: now + 3 * hour }],
    ["5-hour limit reached ∙ resets 3:30 PM (Europe/Berlin)", { resetsAt: now + 2.5 * hour }],
    ["resets 11am UTC", { resetsAt: now + 23 * hour }],
    ["try again at 15:00 UTC", { resetsAt: now + 3 * hour }],
    [`Claude AI usage limit reached|${(now + hour) / 1_000}`, { resetsAt: now + hour }],
    [`"resetsAt": ${(now + hour) / 1_000}`, { resetsAt: now + hour }],
    [`"resetsAt": ${now + hour}`, { resetsAt: now + hour }],
    ["This costs 5 seconds and 3 minutes of work", {}],
    ["", {}]
  ]
  it("C13 reads the wait out of every form that agents print", () => {
    for (const [text, expected] of texts) assert.deepStrictEqual(parseRetryHint(text, now), expected, text)
  })

  it("C13 reads the last of several hints of one form, since a tail ends with the latest", () => {
    assert.deepStrictEqual(parseRetryHint("Suggested retry after 2s\nSuggested retry after 9s", now), { retryAfterMillis: 9_000 })
  })

  it("C13 reads fields of structured data by their names, and tells seconds from milliseconds", () => {
    assert.deepStrictEqual(hintOfField("retryAfterMs", 1_500, now), { retryAfterMillis: 1_500 })
    assert.deepStrictEqual(hintOfField("retry-after", "3", now), { retryAfterMillis: 3_000 })
    assert.deepStrictEqual(hintOfField("retry_after", "Tue, 24 Nov 2026 12:00:09 GMT", now), { resetsAt: now + 9_000 })
    assert.deepStrictEqual(hintOfField("retryDelay", "34s", now), { retryAfterMillis: 34_000 })
    assert.deepStrictEqual(hintOfField("resetsAt", (now + hour) / 1_000, now), { resetsAt: now + hour })
    assert.deepStrictEqual(hintOfField("resets_at", now + hour, now), { resetsAt: now + hour })
    assert.deepStrictEqual(hintOfField("x-ratelimit-reset", "12", now), { retryAfterMillis: 12_000 })
    assert.strictEqual(hintOfField("resetsAt", (now - hour) / 1_000, now), undefined)
    assert.strictEqual(hintOfField("attempts", 3, now), undefined)
    assert.strictEqual(hintOfField("retryAfter", null, now), undefined)
    assert.strictEqual(hintOfField("retryAfter", Number.NaN, now), undefined)
    assert.strictEqual(hintOfField("retryAfter", -5, now), undefined)
  })

  it("C13 takes a time of day as its next occurrence, across a change of daylight time", () => {
    // New York turns its clocks back on 2026-11-01 at 06:00 UTC.
    const before = Date.UTC(2026, 10, 1, 3, 0, 0)
    assert.strictEqual(parseTime("9am (America/New_York)", before), Date.UTC(2026, 10, 1, 14, 0, 0))
    assert.strictEqual(parseTime("25:00", now), undefined)
    assert.strictEqual(parseTime("13pm", now), undefined)
    assert.strictEqual(parseSpan("2 fortnights"), undefined)
  })

  it.effect.prop(
    "C13 C60 any text and any field give a wait within bounds, or none",
    [Schema.String, Schema.Unknown, Schema.Finite],
    ([text, value, at]) =>
      Effect.sync(() => {
        const hints = [
          parseRetryHint(text, at),
          parseRetryHint(`retry after ${text} resets at ${text} try again in ${text}`, at),
          hintOfField("retryAfter", value, at) ?? {},
          hintOfField("resetsAt", value, at) ?? {}
        ]
        for (const { resetsAt, retryAfterMillis } of hints) {
          assert.isTrue(retryAfterMillis === undefined || (retryAfterMillis >= 0 && Number.isFinite(retryAfterMillis)))
          assert.isTrue(resetsAt === undefined || (resetsAt > at && Number.isFinite(resetsAt)))
        }
      })
  )
})
