/**
 * Well-known agents by name: how to start each, whose quota it spends, and what keeps its inner retries small.
 *
 * A preset only fills in what the user did not configure. It never grants a permission by itself: flags that do are added for the
 * permission mode that the user chose (`edits`, `all`), and one-shot modes, which cannot ask, stay with the agent's own refusals.
 */
import * as Schema from "effect/Schema"
import { agentName } from "./Classification.ts"
import type { AgentSpec, PermissionMode } from "./AgentSpec.ts"

/** How the standard output of a one-shot mode is read. */
export type OutputFormat = "text" | "claude" | "codex" | "gemini" | "opencode"

/** One way to start an agent. */
export interface Launch {
  /** The program and its arguments. `{{task.prompt}}` stands where the prompt goes. */
  readonly command: ReadonlyArray<string>
  /** Turns inner retries, updates and telemetry down; the user's values win. */
  readonly env?: Readonly<Record<string, string>>
  /** Inserted after the program's name, by permission mode. */
  readonly permissions?: Readonly<Partial<Record<PermissionMode, ReadonlyArray<string>>>>
}

/** Model calls for one prompt while the provider fails for ever, as started by the preset: what an outer retry multiplies. */
export interface RetriesInside {
  /** Count, at least 1. Infinity: it never gives up. */
  readonly calls: number
  /** How long it keeps trying, in seconds. */
  readonly seconds: number
}

export interface Preset {
  readonly title: string
  /** Whose quota a call spends. */
  readonly account: string
  readonly acp?: Launch
  readonly oneShot?: Launch & { readonly output: OutputFormat }
  /** Absent where nobody measured it. */
  readonly retriesInside?: RetriesInside
  /** What the user can do about them, where the preset cannot: a settings file below the home directory, and what is to stand in it. */
  readonly fewerRetries?: { readonly file: string; readonly setting: string }
  /** The version that was measured; absent where the launch comes from documentation alone. */
  readonly measured?: string
}

// One inner retry bridges a hiccup in the middle of a long turn; the rest belongs to the runtime's budget.
const claudeEnv = { CLAUDE_CODE_MAX_RETRIES: "1", DISABLE_AUTOUPDATER: "1" }
const opencodeEnv = { OPENCODE_DISABLE_AUTOUPDATE: "1" }
const prompt = "{{task.prompt}}"

/** By the name that `AgentSpec.preset` gives. */
export const presets: Readonly<Record<string, Preset>> = {
  claude: {
    title: "Claude Code",
    account: "anthropic",
    measured: "claude 2.1.330, claude-agent-acp 0.101",
    retriesInside: { calls: 2, seconds: 10 },
    acp: { command: ["claude-agent-acp"], env: claudeEnv },
    oneShot: {
      // `--` keeps a prompt that begins with a dash from being an option.
      command: ["claude", "-p", "--output-format", "stream-json", "--verbose", "--", prompt],
      env: claudeEnv,
      permissions: { edits: ["--permission-mode", "acceptEdits"], all: ["--permission-mode", "bypassPermissions"] },
      output: "claude"
    }
  },
  codex: {
    title: "Codex",
    account: "openai",
    measured: "codex 0.169.0, codex-acp 2.6.0",
    retriesInside: { calls: 30, seconds: 26 },
    acp: { command: ["codex-acp"] },
    oneShot: {
      command: ["codex", "exec", "--skip-git-repo-check", "--json", "--", prompt],
      permissions: { edits: ["--sandbox", "workspace-write"], all: ["--dangerously-bypass-approvals-and-sandbox"] },
      output: "codex"
    }
  },
  gemini: {
    title: "Gemini CLI",
    account: "google",
    measured: "gemini-cli 0.61.0",
    // `general.maxAttempts` in the user's settings turns this down; no variable does, and a file of defaults has to belong to root.
    retriesInside: { calls: 10, seconds: 255 },
    fewerRetries: { file: ".gemini/settings.json", setting: '"general": { "maxAttempts": 1 }' },
    acp: { command: ["gemini", "--acp"] },
    oneShot: {
      command: ["gemini", "-o", "stream-json", `--prompt=${prompt}`],
      permissions: { edits: ["--approval-mode", "auto_edit"], all: ["--approval-mode", "yolo"] },
      output: "gemini"
    }
  },
  opencode: {
    title: "opencode",
    account: "opencode",
    measured: "opencode 1.18.33",
    retriesInside: { calls: 6, seconds: 85 },
    acp: { command: ["opencode", "acp"], env: opencodeEnv },
    oneShot: { command: ["opencode", "run", "--format", "json", "--", prompt], env: opencodeEnv, output: "opencode" }
  },
  qwen: {
    title: "Qwen Code",
    account: "qwen",
    measured: "qwen-code 0.24.4",
    retriesInside: { calls: Number.POSITIVE_INFINITY, seconds: Number.POSITIVE_INFINITY },
    acp: { command: ["qwen", "--acp"] },
    oneShot: {
      command: ["qwen", "-o", "stream-json", `--prompt=${prompt}`],
      permissions: { edits: ["--approval-mode", "auto-edit"], all: ["--yolo"] },
      output: "claude"
    }
  },
  copilot: {
    title: "GitHub Copilot",
    account: "github-copilot",
    acp: { command: ["copilot", "--acp"] },
    oneShot: {
      command: ["copilot", `--prompt=${prompt}`],
      permissions: { edits: ["--allow-tool=write"], all: ["--allow-all-tools"] },
      output: "text"
    }
  },
  goose: {
    title: "Goose",
    account: "goose",
    acp: { command: ["goose", "acp"] },
    oneShot: { command: ["goose", "run", "--no-session", `--text=${prompt}`], output: "text" }
  },
  cursor: {
    title: "Cursor",
    account: "cursor",
    acp: { command: ["cursor-agent", "acp"] },
    oneShot: {
      command: ["cursor-agent", "-p", "--output-format", "stream-json", "--", prompt],
      permissions: { all: ["--force"] },
      output: "claude"
    }
  },
  kimi: { title: "Kimi CLI", account: "moonshot", acp: { command: ["kimi", "acp"] } },
  cline: { title: "Cline", account: "cline", acp: { command: ["cline", "--acp"] } },
  kilo: { title: "Kilo Code", account: "kilo", acp: { command: ["kilo", "acp"] } },
  auggie: { title: "Auggie", account: "augment", acp: { command: ["auggie", "--acp"] } },
  qoder: { title: "Qoder", account: "qoder", acp: { command: ["qodercli", "--acp"] } },
  kiro: { title: "Kiro", account: "kiro", acp: { command: ["kiro-cli-chat", "acp"] } },
  devin: { title: "Devin", account: "devin", acp: { command: ["devin", "acp"] } },
  junie: { title: "Junie", account: "jetbrains", acp: { command: ["junie", "--acp=true"] } },
  droid: { title: "Factory Droid", account: "factory", acp: { command: ["droid", "exec", "--output-format", "acp"] } },
  pi: { title: "pi", account: "pi", acp: { command: ["pi-acp"] }, oneShot: { command: ["pi", "-p", "--", prompt], output: "text" } }
}

/** There is no such preset, or it has no way to start the agent by that driver. */
export class PresetUnknown extends Schema.TaggedError<PresetUnknown>()("PresetUnknown", {
  agentId: Schema.String,
  preset: Schema.String,
  driver: Schema.String,
  /** The presets that would do. */
  known: Schema.Array(Schema.String)
}) {
  override get message() {
    return `agents "${this.agentId}": preset "${this.preset}" is not known for driver "${this.driver}"; known: ${this.known.join(", ")}`
  }
}

const launchOf = (preset: Preset | undefined, driver: string): Launch | undefined =>
  driver === "acp" ? preset?.acp : driver === "command" ? preset?.oneShot : undefined

/**
 * Fills in what the user did not configure. A spec without a preset stays as it is. Answers `PresetUnknown` instead of a spec when the
 * preset does not exist, or cannot be started by the spec's driver.
 */
export const resolvePreset = (spec: AgentSpec): AgentSpec | PresetUnknown => {
  if (spec.preset === undefined) return spec
  const preset = Object.hasOwn(presets, spec.preset) ? presets[spec.preset] : undefined
  const launch = launchOf(preset, spec.driver)
  if (preset === undefined || launch === undefined) {
    const known = Object.keys(presets).filter((name) => launchOf(presets[name], spec.driver) !== undefined)
    return new PresetUnknown({ agentId: spec.id, preset: spec.preset, driver: spec.driver, known })
  }
  const given = spec.command.length > 0
  return {
    ...spec,
    command: given ? spec.command : withPermissions(launch, spec.permissions),
    account: spec.account ?? preset.account,
    env: { ...launch.env, ...spec.env },
    // The prompt stands in the arguments; what else arrived on standard input would be taken for a part of it.
    stdin: given ? spec.stdin : "none"
  }
}

const withPermissions = (launch: Launch, mode: PermissionMode): ReadonlyArray<string> => {
  const flags = launch.permissions?.[mode] ?? []
  // `codex exec`: options belong behind the sub-command.
  const at = launch.command[1]?.startsWith("-") === false ? 2 : 1
  return [...launch.command.slice(0, at), ...flags, ...launch.command.slice(at)]
}

/** The name under which classification knows the agent: its preset's, else its program's (behind a launcher: the package's). */
export const agentOf = (spec: AgentSpec): string => {
  if (spec.preset !== undefined) return spec.preset
  const launchers = /^(?:npx|npm|node|pnpm|yarn|bunx|bun|env|uvx|exec|run|dlx)$/
  const program = spec.command.find(
    (argument) => !argument.startsWith("-") && !/^\w+=/.test(argument) && !launchers.test(agentName(argument))
  )
  return agentName(program ?? spec.command[0] ?? spec.id)
}

/** The npm packages that the programs of presets come in. */
const packages: Readonly<Record<string, string>> = {
  claude: "@anthropic-ai/claude-code",
  "claude-agent-acp": "@agentclientprotocol/claude-agent-acp",
  codex: "@openai/codex",
  "codex-acp": "@agentclientprotocol/codex-acp",
  gemini: "@google/gemini-cli",
  opencode: "opencode-ai",
  qwen: "@qwen-code/qwen-code",
  copilot: "@github/copilot",
  cline: "cline",
  kilo: "@kilocode/cli",
  auggie: "@augmentcode/auggie",
  qodercli: "@qoder-ai/qodercli",
  "pi-acp": "pi-acp"
}

/** The command that installs a program of a preset; undefined for every other program, and where npm does not have it. */
export const installOf = (program: string): string | undefined =>
  Object.hasOwn(packages, program) ? `npm install -g ${packages[program]}` : undefined

/** How long at most the agent tries again by itself before it tells of its provider's fault, in milliseconds; 0 where nobody knows. */
export const triesInsideMillis = (spec: AgentSpec): number => {
  const agent = agentOf(spec)
  return 1_000 * ((Object.hasOwn(presets, agent) ? presets[agent]?.retriesInside?.seconds : undefined) ?? 0)
}

/**
 * Does the agent fail where the client reads and writes its files? Then it is left to its own means, which it has.
 *
 * gemini-cli 0.61.0 takes the protocol's "not found" for a failure of its tool, and so cannot write a new file through a client.
 */
export const usesOwnFiles = (agent: string): boolean => agent === "gemini"

/**
 * Does the agent lose a session that it is to load in the very minute in which it was made?
 *
 * gemini-cli 0.61.0 names the file of a session by the minute, and writes a new one over it.
 */
export const losesYoungSessions = (agent: string): boolean => agent === "gemini"

/** How the output of a `command` agent is to be read: by its preset, or by the JSON mode that its own arguments ask for. */
export const outputFormatOf = (spec: AgentSpec): OutputFormat => {
  const agent = agentOf(spec)
  const format = Object.hasOwn(presets, agent) ? (presets[agent]?.oneShot?.output ?? "text") : "text"
  const asked = spec.command.some((argument) =>
    /^(?:--json|json|stream-json|(?:--output-format|--format|-o)=(?:stream-)?json)$/.test(argument)
  )
  return asked ? format : "text"
}
