import { existsSync } from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { AgentSpec } from "../../src/agent/AgentSpec.ts"
import * as ProcessTree from "../../src/agent/ProcessTree.ts"
import * as Worktree from "../../src/agent/Worktree.ts"
import { TaskSpec } from "../../src/task/Task.ts"
import * as Repository from "../support/repository.ts"
import { nofx } from "./commandLine.ts"

describe("nofx worktrees", () => {
  it.live("C67 what an agent left is listed, shown, merged and removed; what would lose work is refused with exit code 2", () =>
    Effect.gen(function* () {
      const { base, env, read, top, write } = yield* Repository.make
      const run = (...args: ReadonlyArray<string>) => nofx(["worktrees", ...args], { env, machine: { cwd: path.join(top, "sub") } })
      assert.include((yield* run("list")).out, "No agent has a worktree")
      const worktrees = yield* Worktree.make(
        { inheritEnv: env, cwd: top, directory: () => path.join(base, "state"), max: 2, minFreeBytes: 0 },
        (text) => text
      )
      const agent = Schema.decodeUnknownSync(AgentSpec)({ id: "writer", driver: "acp", isolation: "worktree" })
      const place = yield* Effect.scoped(
        Effect.tap(worktrees.acquire(agent), (found) => {
          write(found.top, "new.txt", "new\n")
          return worktrees.commit(found, Schema.decodeUnknownSync(TaskSpec)({ id: "t", prompt: "Add a file" }), undefined)
        })
      )
      assert.match((yield* run("list")).out, /writer +idle +1 ahead +clean +nofx: t: Add a file/)
      const listed = JSON.parse((yield* run("list", "--json")).out)
      assert.deepInclude(listed.worktrees[0], { agent: "writer", branch: "nofx/writer", path: place.top, ahead: 1 })
      assert.include((yield* run("diff", "writer")).out, "+new")
      assert.include((yield* run("diff", "writer", "--stat")).out, "new.txt | 1 +")
      write(top, "shared.txt", "changed\n")
      const dirty = yield* run("merge", "writer")
      assert.strictEqual(dirty.code, 2)
      assert.include(dirty.err, "changes that are in no commit (shared.txt)")
      write(top, "shared.txt", "one\n")
      const merged = yield* run("merge", "writer", "--json")
      assert.deepInclude(JSON.parse(merged.out), { _tag: "WorktreeMerged", agent: "writer", commits: 1 })
      assert.strictEqual(read(top, "new.txt"), "new\n")
      write(place.top, "more.txt", "more\n")
      const refused = yield* run("remove", "writer")
      assert.strictEqual(refused.code, 2)
      assert.isTrue(existsSync(path.join(place.top, "more.txt")))
      assert.strictEqual((yield* run("remove", "nobody")).code, 2)
      const outside = yield* nofx(["worktrees", "list"], { env, machine: { cwd: base } })
      assert.include(outside.err, "lies in no git repository")
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )
})
