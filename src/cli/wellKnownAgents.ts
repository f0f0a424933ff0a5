/** The agents that `nofx init` looks for: how each is called, and whose quota it spends. */

export interface WellKnownAgent {
  readonly id: string
  readonly title: string
  readonly account: string
  /** Started once, spoken to over the Agent Client Protocol. */
  readonly acp?: readonly [program: string, ...args: ReadonlyArray<string>]
  /** Started for each task. */
  readonly oneShot?: readonly [program: string, ...args: ReadonlyArray<string>]
  /** What brings the ACP program, where it is a package of its own. */
  readonly adapter?: string
}

export const wellKnownAgents: ReadonlyArray<WellKnownAgent> = [
  {
    id: "claude",
    title: "Claude Code",
    account: "anthropic",
    acp: ["claude-agent-acp"],
    oneShot: ["claude", "-p", "{{task.prompt}}"],
    adapter: "@agentclientprotocol/claude-agent-acp"
  },
  {
    id: "codex",
    title: "Codex",
    account: "openai",
    acp: ["codex-acp"],
    oneShot: ["codex", "exec", "--skip-git-repo-check", "{{task.prompt}}"],
    adapter: "@agentclientprotocol/codex-acp"
  },
  { id: "gemini", title: "Gemini CLI", account: "google", acp: ["gemini", "--acp"], oneShot: ["gemini", "-p", "{{task.prompt}}"] },
  { id: "opencode", title: "opencode", account: "opencode", acp: ["opencode", "acp"], oneShot: ["opencode", "run", "{{task.prompt}}"] },
  { id: "qwen", title: "Qwen Code", account: "qwen", acp: ["qwen", "--acp"], oneShot: ["qwen", "-p", "{{task.prompt}}"] },
  { id: "copilot", title: "GitHub Copilot", account: "github", acp: ["copilot", "--acp"] },
  { id: "goose", title: "goose", account: "goose", acp: ["goose", "acp"] },
  { id: "cline", title: "Cline", account: "cline", acp: ["cline", "--acp"] },
  { id: "kilo", title: "Kilo", account: "kilo", acp: ["kilo", "acp"] },
  { id: "auggie", title: "Auggie", account: "augment", acp: ["auggie", "--acp"] },
  { id: "cursor", title: "Cursor", account: "cursor", acp: ["cursor-agent", "acp"] },
  { id: "kimi", title: "Kimi", account: "kimi", acp: ["kimi", "acp"] },
  { id: "droid", title: "Factory Droid", account: "factory", acp: ["droid", "exec", "--output-format", "acp"] }
]
