/** What the demo asks its agents for, and which fault each task brings along: the data behind the task file and the report. */

/** A fault that the demo's agent is told to have; see `demo/agent`. */
export interface DemoFault {
  readonly kind: "crash" | "hang" | "429" | "flaky" | "garbage" | "claim-nothing" | "grandchild"
  /** Calls that have it. Absent: every call. */
  readonly times?: number
  /** Steps that are done before. Default 0. */
  readonly after?: number
  /** Seconds. */
  readonly retryAfter?: number
}

/** One task of the demo. */
export interface DemoScenario {
  readonly taskId: string
  /** What was asked, in one sentence. */
  readonly asked: string
  /** The instruction lines below it. */
  readonly steps: ReadonlyArray<string>
  readonly capability: "code" | "docs"
  readonly effect: "idempotent" | "unsafe"
  readonly priority?: "high" | "low"
  /** Arguments to node: the task's own check. */
  readonly verify: ReadonlyArray<string>
  readonly dependsOn?: ReadonlyArray<string>
  readonly onDependencyFailed?: "hold" | "cancel"
  readonly fault?: DemoFault
  /** What goes wrong, in one sentence; absent when nothing does. */
  readonly wrong?: string
  /** Stages and parts that answer it. */
  readonly answeredBy: ReadonlyArray<string>
  /** How it ends. */
  readonly end: "succeeded" | "dead-lettered" | "cancelled"
}

const test = (name: string): ReadonlyArray<string> => ["--test", `test/${name}.test.js`]

export const demoScenarios: ReadonlyArray<DemoScenario> = [
  {
    taskId: "add-slugify",
    asked: "Write slugify(): lower case, words joined by dashes.",
    steps: [
      'write src/slugify.js: export const slugify = (text) => text.toLowerCase().split(/[^a-z0-9]+/).filter(Boolean).join("-")',
      "say slugify() is there, and its tests pass."
    ],
    capability: "code",
    effect: "idempotent",
    priority: "high",
    verify: test("slugify"),
    answeredBy: [],
    end: "succeeded"
  },
  {
    taskId: "fix-median",
    asked: "median() is wrong for lists of even length. Fix it.",
    steps: [
      "replace src/median.js: return sorted[middle] => return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2"
    ],
    capability: "code",
    effect: "idempotent",
    verify: test("median"),
    fault: { kind: "crash", times: 1 },
    wrong: "the agent crashes (SIGSEGV) once",
    answeredBy: ["retry", "circuitBreaker"],
    end: "succeeded"
  },
  {
    taskId: "parse-duration",
    asked: "Write parseDuration(): seconds of texts like 5m or 2h.",
    steps: [
      "write src/duration.js: export const parseDuration = (text) => Number.parseInt(text, 10) * { s: 1, m: 60, h: 3600 }[text.at(-1)]"
    ],
    capability: "code",
    effect: "idempotent",
    verify: test("duration"),
    fault: { kind: "429", times: 1, retryAfter: 2 },
    wrong: "the account is over its rate limit (429, retry after 2 s) once",
    answeredBy: ["cooldown"],
    end: "succeeded"
  },
  {
    taskId: "document-api",
    asked: "Describe the functions in docs/api.md.",
    steps: ["write docs/api.md: # API\\n\\n- slugify(text)\\n- median(numbers)\\n- parseDuration(text)\\n- wordCount(text)"],
    capability: "docs",
    effect: "idempotent",
    verify: test("docs"),
    fault: { kind: "hang", times: 1 },
    wrong: "the agent falls silent: no output, no CPU, no file changed",
    answeredBy: ["attemptLimit", "retry"],
    end: "succeeded"
  },
  {
    taskId: "fix-word-count",
    asked: "wordCount() counts spaces, not words. Fix it.",
    steps: ['replace src/words.js: text.split(" ").length => text.split(/\\s+/).filter(Boolean).length'],
    capability: "code",
    effect: "idempotent",
    verify: test("words"),
    fault: { kind: "claim-nothing", times: 1 },
    wrong: "the agent claims success (exit 0), having done nothing",
    answeredBy: ["verify", "retry"],
    end: "succeeded"
  },
  {
    taskId: "add-license",
    asked: "Add a LICENSE file.",
    steps: ["write LICENSE: MIT"],
    capability: "docs",
    effect: "idempotent",
    priority: "low",
    verify: test("license"),
    fault: { kind: "flaky", times: 2 },
    wrong: "the connection to the model breaks twice",
    answeredBy: ["retry", "circuitBreaker"],
    end: "succeeded"
  },
  {
    taskId: "tidy-readme",
    asked: "Say in README.md how to run the tests.",
    steps: ["write README.md: # demo-library\\n\\nA few small functions. Run the tests with node --test."],
    capability: "docs",
    effect: "idempotent",
    verify: test("readme"),
    fault: { kind: "grandchild" },
    wrong: "the agent leaves a process behind, in a session of its own, that ignores SIGTERM",
    answeredBy: ["driver"],
    end: "succeeded"
  },
  {
    taskId: "announce",
    asked: "Announce the release in announcements.log, once.",
    steps: ["append announcements.log: 1.1.0 is out"],
    capability: "docs",
    effect: "unsafe",
    verify: test("announcements"),
    dependsOn: ["add-slugify"],
    answeredBy: [],
    end: "succeeded"
  },
  {
    taskId: "translate-readme",
    asked: "Translate README.md to German.",
    steps: ["write README.de.md: # demo-library"],
    capability: "docs",
    effect: "idempotent",
    verify: test("translation"),
    dependsOn: ["tidy-readme"],
    fault: { kind: "garbage" },
    wrong: "the agent answers with binary noise, each time",
    answeredBy: ["deadLetter"],
    end: "dead-lettered"
  },
  {
    taskId: "publish-translation",
    asked: "Link the translation from README.md.",
    steps: ["append README.md: [Deutsch](README.de.md)"],
    capability: "docs",
    effect: "unsafe",
    verify: test("translation"),
    dependsOn: ["translate-readme"],
    onDependencyFailed: "cancel",
    wrong: "what it builds on was never made",
    answeredBy: ["queue"],
    end: "cancelled"
  },
  {
    taskId: "release-notes",
    asked: "Write CHANGELOG.md for what was done.",
    steps: ["write CHANGELOG.md: ## 1.1.0\\n\\n- slugify()\\n- parseDuration()\\n- median() and wordCount() corrected"],
    capability: "docs",
    effect: "idempotent",
    verify: [
      "--test",
      "test/slugify.test.js",
      "test/median.test.js",
      "test/duration.test.js",
      "test/words.test.js",
      "test/changelog.test.js"
    ],
    dependsOn: ["add-slugify", "fix-median", "parse-duration", "fix-word-count"],
    answeredBy: [],
    end: "succeeded"
  }
]

/** The demo's agents: two accounts, so that one's limit leaves the other at work. */
export const demoAgents: ReadonlyArray<{ readonly id: string; readonly account: string; readonly capabilities: ReadonlyArray<string> }> = [
  { id: "ada", account: "demo-one", capabilities: ["code"] },
  { id: "ben", account: "demo-one", capabilities: ["code", "docs"] },
  { id: "cleo", account: "demo-two", capabilities: ["code", "docs"] },
  { id: "dan", account: "demo-two", capabilities: ["docs"] }
]
