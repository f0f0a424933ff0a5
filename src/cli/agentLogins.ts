/**
 * Where well-known agents keep that somebody has logged in: only whether it is there, never what is in it.
 *
 * Offline nothing more can be told: a key may be revoked, a login expired, or kept by the operating system.
 */
import * as fs from "node:fs"
import * as path from "node:path"

interface Login {
  /** Environment variables of which one is enough. */
  readonly variables: ReadonlyArray<string>
  /** Files below the home directory of which one is enough. */
  readonly files: ReadonlyArray<string>
  /** What to do without. */
  readonly remedy: string
}

/** By preset. */
const logins: Readonly<Record<string, Login>> = {
  claude: {
    variables: ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"],
    files: [".claude/.credentials.json"],
    remedy: "run claude once and log in, or set ANTHROPIC_API_KEY"
  },
  codex: {
    variables: ["OPENAI_API_KEY", "CODEX_API_KEY"],
    files: [".codex/auth.json"],
    remedy: "run codex login, or set OPENAI_API_KEY"
  },
  gemini: {
    variables: ["GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS"],
    files: [".gemini/oauth_creds.json"],
    remedy: "run gemini once and log in, or set GEMINI_API_KEY"
  },
  opencode: {
    variables: ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "GEMINI_API_KEY"],
    files: [".local/share/opencode/auth.json"],
    remedy: "run opencode auth login, or set the key of a provider"
  },
  qwen: {
    variables: ["OPENAI_API_KEY", "DASHSCOPE_API_KEY"],
    files: [".qwen/oauth_creds.json"],
    remedy: "run qwen once and log in"
  }
}

export type LoginState =
  | { readonly _tag: "Found"; readonly by: string }
  | { readonly _tag: "Missing"; readonly remedy: string }
  /** Nobody knows where this agent keeps it. */
  | { readonly _tag: "Unknown" }

/** Is there a sign of a login? */
export const loginOf = (preset: string, env: Readonly<Record<string, string>>, home: string): LoginState => {
  const login = Object.hasOwn(logins, preset) ? logins[preset] : undefined
  if (login === undefined) return { _tag: "Unknown" }
  const variable = login.variables.find((name) => env[name] !== undefined && env[name] !== "")
  if (variable !== undefined) return { _tag: "Found", by: variable }
  const file = login.files.find((name) => fs.existsSync(path.join(home, name)))
  return file === undefined ? { _tag: "Missing", remedy: login.remedy } : { _tag: "Found", by: `~/${file}` }
}
