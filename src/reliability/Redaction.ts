/**
 * Takes secrets out of what is kept or shown: known values, and what looks like one.
 *
 * It errs on the side of removing: a lost word costs little, a leaked key much. Text in which nothing looks like a secret comes back as it
 * is. What no rule knows (a password in prose, a secret cut in half before it came here) passes: redact before truncating.
 */

/** What stands where a secret was. */
export const mark = "[redacted]"

/** Shorter values are no secrets to look for: `true` or `1` would be found everywhere. Characters. */
export const minimumSecretLength = 6

const secretWord = "(?:api[_-]?key|access[_-]?key|private[_-]?key|token|secret|passw(?:or)?d|passphrase|credentials?)"

/** Names of environment variables, fields and flags whose values are secrets. A bare `key` is not one: it names ordinary things too. */
const secretName = /(?:^|[_.-])(?:KEY|TOKEN|SECRET|PASSW(?:OR)?D|PASSPHRASE|CREDENTIALS?|AUTHORIZATION|COOKIE)$/
const secretField = new RegExp(`(?:^|[_.-])${secretWord}$|^(?:proxy-)?authorization$|^(?:set-)?cookie$`, "i")
const camelField = /[a-z0-9](?:ApiKey|AccessKey|PrivateKey|SecretKey|Token|Secret|Password|Passphrase|Credentials?)$/
const secretFlag = new RegExp(`^--?(?:[a-z0-9]+-){0,4}${secretWord}$`, "i")

const isSecretField = (name: string): boolean =>
  name.length <= 200 && name !== "KEY" && (secretField.test(name) || camelField.test(name) || secretName.test(name))

/** Whether an environment variable of this name holds a secret. */
export const isSecretName = (name: string): boolean => name.length <= 200 && (secretName.test(name.toUpperCase()) || secretField.test(name))

/** The values of an environment that are secrets by the name of their variable. */
export const secretsOf = (environment: Readonly<Record<string, string | undefined>>): ReadonlyArray<string> => {
  const found = new Set<string>()
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && value.length >= minimumSecretLength && isSecretName(name)) found.add(value)
  }
  return [...found]
}

/** The values that the arguments of a program give to flags which are named like a secret. */
export const secretsOfArguments = (command: ReadonlyArray<string>): ReadonlyArray<string> =>
  command.flatMap((argument, index) => {
    const assigned = argument.indexOf("=")
    if (assigned > 0) return secretFlag.test(argument.slice(0, assigned)) ? [argument.slice(assigned + 1)] : []
    return secretFlag.test(command[index - 1] ?? "") ? [argument] : []
  })

/**
 * Shapes, each with what a text must contain (in lower case) before its expression is tried. Every repetition is bounded, or made of one
 * class that no neighbour shares, so that none backtracks far on a long text.
 */
const shapes: ReadonlyArray<readonly [hints: ReadonlyArray<string>, pattern: RegExp, replacement: string]> = [
  [
    ["private key"],
    /-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----|$)/g,
    mark
  ],
  [["eyj"], /\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?/g, mark],
  [["sk-"], /\bsk-(?=[\w-]{0,64}\d)[\w-]{16,}/g, mark],
  [["k_live_", "k_test_"], /\b[prs]k_(?:live|test)_[A-Za-z0-9]{10,}/g, mark],
  [["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], /\bgh[opsur]_[A-Za-z0-9]{20,}/g, mark],
  [["github_pat_"], /\bgithub_pat_\w{20,}/g, mark],
  [["glpat-"], /\bglpat-[\w-]{16,}/g, mark],
  [["xox"], /\bxox[abeoprs]-[\w-]{10,}/g, mark],
  [["npm_"], /\bnpm_[A-Za-z0-9]{30,}/g, mark],
  [["hf_"], /\bhf_[A-Za-z0-9]{20,}/g, mark],
  [["aiza"], /\bAIza[\w-]{30,}/g, mark],
  [["ya29."], /\bya29\.[\w-]{20,}/g, mark],
  [["akia", "asia", "aroa", "aida"], /\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b/g, mark],
  [["authorization"], /(authorization["']?\s{0,4}[:=]\s{0,4}["']?)(?:[A-Za-z]{1,20}\s{1,4})?[^\s"',;]{4,}/gi, `$1${mark}`],
  [["bearer", "basic"], /\b(bearer|basic)(\s{1,4})(?=[\w.~+/-]{0,400}[\d=])[\w.~+/-]{8,}={0,2}/gi, `$1$2${mark}`],
  [["://"], /(?<=:\/\/)[^\s/@:"'<>]{0,128}:[^\s/"'<>]{1,256}@/g, `${mark}@`],
  [["?", "&"], /([?&](?:key|sig|signature|code|(?:[a-z]{1,20}[_-])?(?:api[_-]?key|token|secret|password))=)[^&\s#"']+/gi, `$1${mark}`],
  [
    ["_key", "token", "secret", "passw", "credential", "passphrase"],
    /\b((?:[A-Z][A-Z0-9]{0,40}_){0,6}(?:(?<=_)KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)=["']?)[^\s"',;]{4,}/g,
    `$1${mark}`
  ],
  [
    ["aws_secret_access_key", "aws_session_token"],
    /\b(aws_(?:secret_access_key|session_token)\s{0,4}[=:]\s{0,4}["']?)[^\s"',;]{4,}/gi,
    `$1${mark}`
  ],
  [["--"], new RegExp(`(--(?:[a-z0-9]{1,20}-){0,4}${secretWord}(?:=|\\s{1,4})["']?)[^\\s"']{4,}`, "gi"), `$1${mark}`],
  [
    ['key"', 'token"', 'secret"', "passw", 'passphrase"', "credential"],
    new RegExp(`("[\\w-]{0,40}${secretWord}"\\s{0,4}:\\s{0,4}")[^"\\\\]{4,}`, "gi"),
    `$1${mark}`
  ]
]

/** Most texts contain no hint at all: one look tells. */
const anyHint = new RegExp([...new Set(shapes.flatMap(([hints]) => hints))].map((hint) => hint.replace(/[?.]/g, "\\$&")).join("|"))

const redactShapes = (text: string): string => {
  const lower = text.toLowerCase()
  if (!anyHint.test(lower)) return text
  let result = text
  for (const [hints, pattern, replacement] of shapes) {
    if (hints.some((hint) => lower.includes(hint))) result = result.replace(pattern, replacement)
  }
  return result
}

/** How a value may be written inside other text: as it is, in JSON, in a URL, in base64. Longest first: one may contain another. */
const spellings = (secrets: Iterable<string>): ReadonlyArray<string> => {
  const all = new Set<string>()
  for (const secret of secrets) {
    if (secret.length < minimumSecretLength) continue
    all.add(secret)
    all.add(JSON.stringify(secret).slice(1, -1))
    all.add(encodeURIComponent(secret.toWellFormed()))
    const bytes = new TextEncoder().encode(secret)
    all.add(btoa(String.fromCharCode(...bytes.subarray(0, 4096))).replace(/=+$/, ""))
  }
  return [...all].sort((a, b) => b.length - a.length)
}

/** Deeper than this nothing is kept: no document of ours is, and a walk must end. */
const maximumDepth = 200

/** Takes known secrets, and what looks like one, out of anything. */
export interface Redactor {
  readonly text: (text: string) => string
  /** Of any value; the result is plain JSON. */
  readonly value: (value: unknown) => unknown
  /** More secret values to look for, from now on. */
  readonly learn: (secrets: ReadonlyArray<string>) => void
}

/** A redactor that knows these secret values, in every spelling, and the shapes of secrets. Prepare it once: `redact` does so at each call. */
export const make = (secrets: ReadonlyArray<string>): Redactor => {
  const learned = new Set(secrets)
  let known = spellings(secrets)

  const text = (input: string): string => {
    let result = input
    for (const secret of known) {
      if (result.includes(secret)) result = result.replaceAll(secret, mark)
    }
    return redactShapes(result)
  }

  const record = (input: object, depth: number, path: Set<object>): unknown => {
    const result: Record<string, unknown> = {}
    for (const [name, inner] of Object.entries(input)) {
      if (inner === undefined || typeof inner === "function" || typeof inner === "symbol") continue
      const clean = text(name)
      let key = clean
      for (let n = 2; Object.hasOwn(result, key); n++) key = `${clean} (${n})`
      const kept = typeof inner === "string" && inner !== "" && isSecretField(name) ? mark : walk(inner, depth + 1, path)
      // A plain assignment to `__proto__` would be lost.
      if (key === "__proto__") Object.defineProperty(result, key, { value: kept, enumerable: true, configurable: true, writable: true })
      else result[key] = kept
    }
    return result
  }

  const list = (input: ReadonlyArray<unknown>, depth: number, path: Set<object>): unknown =>
    input.map((inner, index) => {
      const before = input[index - 1]
      if (typeof inner === "string" && typeof before === "string" && before.length <= 200 && secretFlag.test(before)) return mark
      return walk(inner, depth + 1, path)
    })

  const walk = (input: unknown, depth: number, path: Set<object>): unknown => {
    switch (typeof input) {
      case "string":
        return text(input)
      case "boolean":
        return input
      case "number":
        return Number.isFinite(input) ? input : null
      case "bigint":
        return text(input.toString())
      case "object":
        break
      default:
        return null
    }
    if (input === null) return null
    if (depth > maximumDepth) return "[too deep]"
    if (path.has(input)) return "[circular]"
    path.add(input)
    try {
      if (Array.isArray(input)) return list(input, depth, path)
      if ("toJSON" in input && typeof input.toJSON === "function") return walk(input.toJSON(), depth + 1, path)
      if (input instanceof Error) return record({ ...input, name: input.name, message: input.message }, depth, path)
      return record(input, depth, path)
    } finally {
      path.delete(input)
    }
  }

  return {
    text,
    value: (value) => walk(value, 0, new Set()),
    learn: (more) => {
      const before = learned.size
      for (const secret of more) learned.add(secret)
      if (learned.size > before) known = spellings(learned)
    }
  }
}

/**
 * A copy of a value, as plain JSON, in which no secret is left: not in strings, nor in the names of fields, at any depth. Fields, flags and
 * assignments that are named like a secret lose their value whatever it is.
 */
export const redact = (value: unknown, secrets: ReadonlyArray<string>): unknown => make(secrets).value(value)
