import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Redaction from "../../src/reliability/Redaction.ts"

const { mark, redact } = Redaction
const text = (input: string): string => Redaction.make([]).text(input)

/** Any JSON document, as text pieces in nested lists and records. */
const Piece = Schema.Struct({
  path: Schema.Array(Schema.Union([Schema.Literals(["list", "record", "name", "json", "url", "base64"])])).check(Schema.isMaxLength(6)),
  before: Schema.String,
  after: Schema.String
})

const Canary = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9+/"'\\%& =]{10,30}$/))

const spelled = (canary: string, path: ReadonlyArray<string>): string => {
  if (path.includes("json")) return JSON.stringify({ inner: canary })
  if (path.includes("url")) return `https://host/?q=${encodeURIComponent(canary)}`
  if (path.includes("base64")) return btoa(canary)
  return canary
}

const plant = (canary: string, { after, before, path }: typeof Piece.Type): unknown => {
  const leaf: unknown = path.includes("base64") ? spelled(canary, path) : `${before} ${spelled(canary, path)} ${after}`
  return path.reduce<unknown>((inner, step) => {
    if (step === "list") return [1, inner, null]
    if (step === "record") return { outer: inner, flag: true }
    if (step === "name") return { [`field ${canary}`]: inner }
    return inner
  }, leaf)
}

const shapes = {
  openai: "sk-proj-a1B2c3D4e5F6g7H8i9J0",
  anthropic: "sk-ant-api03-Zx9_Qw8-Er7Ty6Ui5",
  github: "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
  githubPat: "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
  gitlab: "glpat-abcdefghij0123456789",
  slack: "xoxb-1234567890-abcdefghij",
  aws: "AKIAIOSFODNN7EXAMPLE",
  google: "AIzaSyA1234567890abcdefghijklmnopqrstuv",
  jwt: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
  stripe: "sk_live_abcdefghij0123456789"
}

describe("Redaction", () => {
  it.effect.prop(
    "C25 a planted canary survives nowhere in a nested document, in no spelling",
    [Schema.Array(Piece).check(Schema.isMaxLength(5)), Canary],
    ([pieces, canary]) =>
      Effect.sync(() => {
        const clean = JSON.stringify(
          redact(
            pieces.map((piece) => plant(canary, piece)),
            [canary]
          )
        )
        for (const spelling of [canary, JSON.stringify(canary).slice(1, -1), encodeURIComponent(canary)]) assert.notInclude(clean, spelling)
        assert.notInclude(clean, btoa(canary).replace(/=+$/, ""))
      }),
    { arbitrary: { runs: 300 } }
  )

  it.effect.prop(
    "C25 redacting twice is redacting once",
    [Schema.String, Schema.Literals(Object.values(shapes))],
    ([around, secret]) => Effect.sync(() => assert.strictEqual(text(text(`${around} ${secret}`)), text(`${around} ${secret}`))),
    { arbitrary: { runs: 200 } }
  )

  it.effect("C25 known shapes of tokens are recognised wherever they stand", () =>
    Effect.sync(() => {
      for (const [name, token] of Object.entries(shapes)) {
        assert.strictEqual(text(`${token}`), mark, name)
        assert.strictEqual(text(`error: invalid key (${token}), try again`), `error: invalid key (${mark}), try again`, name)
      }
      const key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----"
      assert.strictEqual(text(`before ${key} after`), `before ${mark} after`)
      assert.strictEqual(text(key.slice(0, 45)), mark)
      assert.strictEqual(text("Authorization: Bearer abc.def-123"), `Authorization: ${mark}`)
      assert.strictEqual(text("got Bearer a1b2c3d4e5f6 there"), `got Bearer ${mark} there`)
      assert.strictEqual(text("postgres://user:p@ss@db.host/x"), `postgres://${mark}@db.host/x`)
      assert.strictEqual(text("https://h/p?id=1&access_token=abcdef&x=2"), `https://h/p?id=1&access_token=${mark}&x=2`)
      assert.strictEqual(text("MY_API_KEY=whatever next"), `MY_API_KEY=${mark} next`)
      assert.strictEqual(text("aws_secret_access_key = abcd/efgh"), `aws_secret_access_key = ${mark}`)
      assert.strictEqual(text("run --api-key hunter22 --verbose"), `run --api-key ${mark} --verbose`)
      assert.strictEqual(text('{"apiKey": "hunter22", "n": 1}'), `{"apiKey": "${mark}", "n": 1}`)
    })
  )

  it.effect("C25 a field, variable or flag that is named like a secret loses its value", () =>
    Effect.sync(() => {
      const input = {
        key: "batch/task-1",
        env: { PATH: "/bin", MY_TOKEN: "plain", DB_PASSWORD: "x" },
        argv: ["agent", "--api-key", "plain", "--model", "large"],
        apiKey: "plain",
        tokens: 1200,
        usage: { tokens: 5 }
      }
      assert.deepStrictEqual(redact(input, []), {
        key: "batch/task-1",
        env: { PATH: "/bin", MY_TOKEN: mark, DB_PASSWORD: mark },
        argv: ["agent", "--api-key", mark, "--model", "large"],
        apiKey: mark,
        tokens: 1200,
        usage: { tokens: 5 }
      })
    })
  )

  it.effect("C25 text without secrets comes back unchanged", () =>
    Effect.sync(() => {
      const plain = [
        "TypeError: cannot read properties of undefined (reading 'token')",
        "task-1234567890123456789 is done; see disk-usage-report-2024-long-name.txt",
        "The basic configuration needs a bearer authentication header; max_tokens: 4096, MAX_TOKENS=4096",
        "https://example.com/a:b/c?page=2&sort=key#top and http://localhost:8080/x@y",
        "commit 5206885a1b2c3d4e5f60718293a4b5c6d7e8f901 in src/reliability/Redaction.ts",
        "secretary, keyboard, passing tests: 12/12"
      ]
      for (const line of plain) assert.strictEqual(text(line), line)
      const document = { a: [1, true, null, "x", { b: "y" }], c: {} }
      assert.deepStrictEqual(redact(document, ["another-secret"]), document)
    })
  )

  it.effect("C25 the result is plain JSON, whatever goes in", () =>
    Effect.sync(() => {
      const circular: Record<string, unknown> = { name: "x" }
      circular["self"] = circular
      const shared = { a: 1 }
      const input = {
        circular,
        twice: [shared, shared],
        big: 10n,
        when: new Date(0),
        error: new Error("boom"),
        none: undefined,
        f: () => 1,
        nan: Number.NaN
      }
      const output = redact(input, [])
      assert.deepStrictEqual(output, JSON.parse(JSON.stringify(output)))
      assert.deepStrictEqual(output, {
        circular: { name: "x", self: "[circular]" },
        twice: [{ a: 1 }, { a: 1 }],
        big: "10",
        when: "1970-01-01T00:00:00.000Z",
        error: { name: "Error", message: "boom" },
        nan: null
      })
      let deep: unknown = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
      for (let i = 0; i < 10_000; i++) deep = [deep]
      assert.notInclude(JSON.stringify(redact(deep, [])), "ghp_")
    })
  )

  it.effect("C25 secrets of an environment are those with a secret's name and a length", () =>
    Effect.sync(() => {
      const environment = {
        OPENAI_API_KEY: "abcdefgh",
        GH_TOKEN: "12345678",
        SECRET: "s3cr3t-s3cr3t",
        PATH: "/usr/bin:/bin",
        A_KEY: "ab",
        KEYBOARD: "qwertyuiop"
      }
      assert.deepStrictEqual(Redaction.secretsOf(environment), ["abcdefgh", "12345678", "s3cr3t-s3cr3t"])
    })
  )

  it.effect("C25 keeps a field named __proto__, and looks into it", () =>
    Effect.sync(() => {
      const result = redact(JSON.parse('{"__proto__":{"token":"abcdefgh"},"after":1}'), [])
      assert.strictEqual(JSON.stringify(result), `{"__proto__":{"token":"${mark}"},"after":1}`)
    })
  )

  // Quadratic rules would need minutes for these; the bound only tells such from linear ones.
  it.live("C25 long texts take linear time", () =>
    Effect.sync(() => {
      const redactor = Redaction.make(Array.from({ length: 50 }, (_, i) => `secret-number-${i}-abcdef`))
      const size = 1_000_000
      const texts = [
        "a",
        "-",
        "A_",
        "sk-",
        "eyJ",
        "a.",
        "://",
        "://a:",
        "bearer ",
        '"token"',
        "--api-key ",
        "TOKEN",
        "authorization ",
        "?key=",
        "-----BEGIN PRIVATE KEY-----"
      ]
      for (const unit of texts) {
        const began = performance.now()
        redactor.text(unit.repeat(size / unit.length))
        assert.isBelow(performance.now() - began, 10_000, unit)
      }
    })
  )
})
