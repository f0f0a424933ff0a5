/** Secrets that pass through a real run: where they must not be afterwards. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { nofx } from "./commandLine.ts"

const canaries = {
  inherited: "canary-inherited-0001",
  own: "canary-own-0002",
  flag: "canary-flag-0003",
  assigned: "canary-assigned-0004",
  prompt: "sk-ant-canary-prompt-0005-aaaa",
  input: "canary-input-0006",
  output: "ghp_canary0007canary0007canary0007",
  argument: "sk-ant-canary-argument-0008"
}

/** Prints every secret that it was given, and one of its own, to both streams; `fails` ends badly. */
const agent = `
for word in "$INHERITED_TOKEN" "$OWN_SECRET" "$@" "$NOFX_TASK_PROMPT" ${canaries.output}; do echo "said $word"; echo "warned $word" >&2; done
cat; printf 'no line end %s' "$OWN_SECRET"
case $NOFX_TASK_ID in fails*) exit 1;; esac
`

const taskFile = (script: string): string =>
  JSON.stringify({
    agents: [
      {
        id: "talker",
        driver: "command",
        command: ["sh", script, "--token", canaries.flag, `--password=${canaries.assigned}`, canaries.argument],
        env: { OWN_SECRET: canaries.own }
      },
      { id: "unborn", driver: "command", command: [`${script}.unborn`, "--token", canaries.flag], env: { OWN_SECRET: canaries.own } }
    ],
    tasks: [
      {
        id: "works",
        agent: "talker",
        effect: "idempotent",
        prompt: `use ${canaries.prompt} or ${canaries.inherited}`,
        input: { api_key: canaries.input }
      },
      { id: "fails", agent: "talker", effect: "unsafe", prompt: `use ${canaries.prompt}`, input: { api_key: canaries.input } },
      {
        id: "wrong",
        agent: "talker",
        effect: "idempotent",
        verify: ["sh", "-c", `echo ${canaries.output} ${canaries.own} $INHERITED_TOKEN; exit 1`]
      },
      { id: "fails-unborn", agent: "unborn", effect: "idempotent", prompt: `use ${canaries.prompt}` }
    ],
    config: { retry: { maxAttempts: 1 } }
  })

const filesBelow = (directory: string): ReadonlyArray<string> =>
  readdirSync(directory, { recursive: true })
    .map((name) => join(directory, String(name)))
    .filter((file) => statSync(file).isFile())

const found = (text: string): ReadonlyArray<string> => Object.values(canaries).filter((canary) => text.includes(canary))

describe("secrets", () => {
  it.live("C25 canaries in environment, argv, prompt, input and output are in no file, event, record or export of a run", () =>
    Effect.gen(function* () {
      const root = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "nofx-secrets-"))),
        (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true }))
      )
      const env = {
        PATH: process.env["PATH"] ?? "",
        HOME: root,
        XDG_STATE_HOME: join(root, "home"),
        INHERITED_TOKEN: canaries.inherited
      }
      mkdirSync(env.XDG_STATE_HOME)
      const script = join(root, "agent.sh")
      writeFileSync(script, agent)
      writeFileSync(`${script}.unborn`, "#!/there/is/no/such/interpreter\n", { mode: 0o755 })
      writeFileSync(join(root, "tasks.json"), taskFile(script))
      const state = join(root, "state")
      const call = (...args: ReadonlyArray<string>) => nofx([...args, "--state-dir", state], { env })

      const run = yield* call("run", join(root, "tasks.json"), "--json")
      assert.strictEqual(run.code, 1, run.err)
      assert.deepStrictEqual(found(run.out + run.err), [], "events")
      for (const file of filesBelow(state)) assert.deepStrictEqual(found(readFileSync(file, "latin1")), [], file)
      const ids: ReadonlyArray<string> = JSON.parse((yield* call("dlq", "list", "--json")).out).deadLetters.map(
        (letter: { readonly id: string }) => letter.id
      )
      assert.lengthOf(ids, 3)
      for (const args of [
        ["dlq", "export"],
        ["dlq", "list", "--json"],
        ...ids.flatMap((id) => [
          ["dlq", "show", id],
          ["dlq", "show", id, "--json"]
        ]),
        ["tasks", "--json"],
        ["tasks", "show", "fails"],
        ["tasks", "show", "works", "--json"],
        ["logs", "works"],
        ["logs", "fails", "--json"],
        ["status", "--json"],
        ["agents", "--json"],
        ["health", "--json"]
      ]) {
        const said = yield* call(...args)
        assert.strictEqual(said.code, 0, args.join(" "))
        assert.deepStrictEqual(found(said.out + said.err), [], args.join(" "))
      }

      const printed = filesBelow(join(state, "agents")).filter((file) => file.endsWith(".stdout.log"))
      assert.isTrue(
        printed.some((file) => readFileSync(file, "utf8").includes("said [redacted]")),
        "the outputs are there, without the secrets"
      )
    })
  )
})
