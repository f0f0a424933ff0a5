/**
 * The real agents under test, as a user would configure them: by preset, with their programs on the `PATH`. Each is at home in a directory
 * of the test's own, where a settings file of its own sends it to the model server.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import type { AgentInput } from "../../src/AgentRuntime.ts"

const modules = path.join(import.meta.dirname, "node_modules")

export interface RealAgent {
  /** Its preset. */
  readonly name: string
  /** What it is started by, and where the package has it. */
  readonly programs: Readonly<Record<string, string>>
  /** Does it hand a fault of its provider on at once, or try again by itself? */
  readonly handsOn: boolean
  /** Writes its settings below `home`, and answers its environment. */
  readonly prepare: (home: string, url: string) => Record<string, string>
}

export type Mode = "acp" | "command"

const put = (file: string, content: unknown): void => {
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content))
}

/** What an agent looks up by itself must not leave the machine. */
const noProxy = { HTTP_PROXY: "http://127.0.0.1:9", HTTPS_PROXY: "http://127.0.0.1:9", NO_PROXY: "127.0.0.1" }

export const gemini: RealAgent = {
  name: "gemini",
  programs: { gemini: "@google/gemini-cli/bundle/gemini.js" },
  handsOn: true,
  prepare: (home, url) => {
    put(path.join(home, ".gemini", "settings.json"), {
      model: { name: "gemini-2.5-flash" },
      telemetry: { enabled: false },
      privacy: { usageStatisticsEnabled: false },
      // As `nofx doctor` advises: one budget of retries rules, and it is not the agent's.
      general: { maxAttempts: 1, enableAutoUpdate: false, enableAutoUpdateNotification: false },
      security: { auth: { selectedType: "gemini-api-key" }, folderTrust: { enabled: false } }
    })
    return {
      GEMINI_API_KEY: "none",
      GOOGLE_GEMINI_BASE_URL: url,
      GEMINI_TELEMETRY_ENABLED: "false",
      GEMINI_CLI_TRUST_WORKSPACE: "true",
      GEMINI_SANDBOX: "false"
    }
  }
}

export const opencode: RealAgent = {
  name: "opencode",
  programs: { opencode: `opencode-${process.platform}-${process.arch}/bin/opencode` },
  handsOn: false,
  prepare: (home, url) => {
    put(path.join(home, ".config", "opencode", "opencode.json"), {
      autoupdate: false,
      share: "disabled",
      model: "local/model",
      small_model: "local/model",
      enabled_providers: ["local"],
      permission: { edit: "allow", bash: "allow", webfetch: "deny" },
      provider: {
        local: {
          npm: "@ai-sdk/openai-compatible",
          name: "Local",
          options: { baseURL: `${url}/v1`, apiKey: "none" },
          models: { model: { name: "model", limit: { context: 128_000, output: 8_192 } } }
        }
      }
    })
    const off = ["MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS", "SHARE", "CLAUDE_CODE"]
    return { ...Object.fromEntries(off.map((name) => [`OPENCODE_DISABLE_${name}`, "1"])), ...noProxy }
  }
}

export const codex: RealAgent = {
  name: "codex",
  programs: { codex: "@openai/codex/bin/codex.js", "codex-acp": ".bin/codex-acp" },
  handsOn: true,
  prepare: (home, url) => {
    put(
      path.join(home, ".codex", "config.toml"),
      [
        `model = "model"`,
        `model_provider = "local"`,
        `check_for_update_on_startup = false`,
        `approval_policy = "never"`,
        `sandbox_mode = "danger-full-access"`,
        `[analytics]`,
        `enabled = false`,
        `[model_providers.local]`,
        `name = "local"`,
        `base_url = "${url}/v1"`,
        `wire_api = "responses"`,
        `env_key = "LOCAL_API_KEY"`,
        `supports_websockets = false`,
        // One budget of retries rules, and it is not the agent's: only a provider of one's own can be told so.
        `request_max_retries = 0`,
        `stream_max_retries = 0`,
        ``
      ].join("\n")
    )
    return { LOCAL_API_KEY: "none", OPENAI_API_KEY: "none", RUST_LOG: "error", ...noProxy }
  }
}

/** A directory that holds nothing but the agent's programs, for the `PATH`. */
const programsOf = (agent: RealAgent, base: string): string => {
  const directory = path.join(base, "programs")
  fs.mkdirSync(directory, { recursive: true })
  for (const [name, file] of Object.entries(agent.programs)) {
    const link = path.join(directory, name)
    if (!fs.existsSync(link)) fs.symlinkSync(path.join(modules, file), link)
  }
  return directory
}

/** An agent as it is given to the runtime, at home and at work in directories of its own below `base`. */
export const specOf = (agent: RealAgent, mode: Mode, id: string, base: string, url: string): AgentInput => {
  const home = path.join(base, `home-${id}`)
  const cwd = path.join(base, `work-${id}`)
  fs.mkdirSync(path.join(home, "tmp"), { recursive: true })
  fs.mkdirSync(cwd)
  return {
    id,
    driver: mode,
    preset: agent.name,
    permissions: "all",
    isolation: "shared",
    cwd,
    env: {
      HOME: home,
      PATH: `${programsOf(agent, base)}${path.delimiter}${process.env["PATH"] ?? ""}`,
      TMPDIR: path.join(home, "tmp"),
      XDG_CONFIG_HOME: path.join(home, ".config"),
      XDG_DATA_HOME: path.join(home, ".local", "share"),
      XDG_CACHE_HOME: path.join(home, ".cache"),
      XDG_STATE_HOME: path.join(home, ".local", "state"),
      NO_COLOR: "1",
      TERM: "dumb",
      DO_NOT_TRACK: "1",
      ...agent.prepare(home, url)
    }
  }
}
