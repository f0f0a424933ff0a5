/** The real agents under test: how each is started in both modes, away from the user's home and from the network. */
import * as fs from "node:fs"
import * as path from "node:path"
import type { AgentInput } from "../../src/AgentRuntime.ts"

const modules = path.join(import.meta.dirname, "node_modules")

export interface RealAgent {
  readonly name: string
  /** Does it hand a rate limit on, or wait by itself? */
  readonly handsLimitsOn: boolean
  /** Writes its configuration below `home`, and answers its environment. */
  readonly prepare: (home: string, url: string) => Record<string, string>
  readonly acp: ReadonlyArray<string>
  readonly command: ReadonlyArray<string>
}

const put = (file: string, content: unknown): void => {
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, JSON.stringify(content))
}

const geminiProgram = [process.execPath, path.join(modules, "@google", "gemini-cli", "bundle", "gemini.js"), "-m", "gemini-2.5-flash"]

const gemini: RealAgent = {
  name: "gemini",
  handsLimitsOn: true,
  acp: [...geminiProgram, "--acp"],
  command: [...geminiProgram, "--approval-mode", "yolo", "-o", "stream-json", "--prompt={{task.prompt}}"],
  prepare: (home, url) => {
    put(path.join(home, ".gemini", "settings.json"), {
      telemetry: { enabled: false },
      privacy: { usageStatisticsEnabled: false },
      // One budget of retries rules, and it is not the agent's.
      general: {
        maxAttempts: 1,
        enableAutoUpdate: false,
        enableAutoUpdateNotification: false,
        disableAutoUpdate: true,
        disableUpdateNag: true
      },
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

const opencodeProgram = path.join(modules, `opencode-${process.platform}-${process.arch}`, "bin", "opencode")

const opencode: RealAgent = {
  name: "opencode",
  handsLimitsOn: false,
  acp: [opencodeProgram, "acp"],
  command: [opencodeProgram, "run", "--format", "json", "--", "{{task.prompt}}"],
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
    const off = ["AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS", "SHARE", "CLAUDE_CODE"]
    return {
      ...Object.fromEntries(off.map((name) => [`OPENCODE_DISABLE_${name}`, "1"])),
      // What it looks up by itself must not leave the machine.
      HTTP_PROXY: "http://127.0.0.1:9",
      HTTPS_PROXY: "http://127.0.0.1:9",
      NO_PROXY: "127.0.0.1"
    }
  }
}

export const agents: ReadonlyArray<RealAgent> = [gemini, opencode]

/** An agent as it is given to the runtime, at home in a directory of the test's own. */
export const specOf = (agent: RealAgent, mode: "acp" | "command", id: string, base: string, url: string): AgentInput => {
  const home = path.join(base, `home-${id}`)
  fs.mkdirSync(path.join(home, "tmp"), { recursive: true })
  return {
    id,
    driver: mode,
    command: agent[mode],
    account: agent.name,
    permissions: "all",
    isolation: "shared",
    stdin: "none",
    env: {
      HOME: home,
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
