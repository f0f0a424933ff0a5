import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema, Scope } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type { AgentDriver, AttemptContext } from "../../src/agent/AgentDriver.ts"
import { AgentSpec } from "../../src/agent/AgentSpec.ts"
import * as ProcessSystem from "../../src/agent/ProcessSystem.ts"
import * as ProcessTree from "../../src/agent/ProcessTree.ts"
import * as Worktree from "../../src/agent/Worktree.ts"
import * as WorktreeDriver from "../../src/agent/WorktreeDriver.ts"
import * as WorktreeIsolation from "../../src/agent/WorktreeIsolation.ts"
import * as WorktreeRecord from "../../src/agent/WorktreeRecord.ts"
import * as WorktreeReview from "../../src/agent/WorktreeReview.ts"
import { TaskSpec } from "../../src/task/Task.ts"
import * as Repository from "../support/repository.ts"

const spec = (id: string, more: object = {}): AgentSpec =>
  Schema.decodeUnknownSync(AgentSpec)({ id, driver: "acp", isolation: "worktree", ...more })
const task = (id: string, prompt = ""): TaskSpec => Schema.decodeUnknownSync(TaskSpec)({ id, prompt })

const fixture = Effect.gen(function* () {
  const repository = yield* Repository.make
  const root = path.join(repository.base, "state")
  const options: Worktree.Options = {
    inheritEnv: repository.env,
    cwd: repository.top,
    directory: () => root,
    max: 16,
    minFreeBytes: 0
  }
  const make = (more: Partial<Worktree.Options> = {}) =>
    Worktree.make({ ...options, ...more }, (text) => text.replaceAll("s3cret", "[redacted]"))
  const worktrees = yield* make()
  const review = Effect.suspend(() => WorktreeReview.make(repository.env, repository.top))
  const status = () => repository.git(repository.top, "status", "--porcelain")
  return { ...repository, root, worktrees, make, review, status }
})

/** Acquires the worktree for as long as the work takes. */
const using = <A, E>(worktrees: Worktree.Worktrees, agent: AgentSpec, work: (place: Worktree.Place) => Effect.Effect<A, E>) =>
  Effect.scoped(Effect.flatMap(worktrees.acquire(agent), work))

/** A driver whose agents do what the task's prompt says: each line writes a file, `name=content`; `fail` ends badly. */
const writing = (opened: Array<string>): AgentDriver => ({
  stopMillis: 0,
  probe: () => Effect.void,
  open: (agent) =>
    Effect.sync(() => {
      const cwd = agent.cwd ?? ""
      opened.push(cwd)
      return {
        resumable: false,
        exited: Effect.never,
        activity: Effect.succeed({ cpuMillis: 0, ioBytes: 0, processes: 0, files: "" }),
        run: ({ started, task }) =>
          Effect.flatMap(started(), () =>
            Effect.suspend(() => {
              const lines = task.prompt.split("\n").filter((line) => line !== "fail")
              for (const line of lines) fs.writeFileSync(path.join(cwd, line.split("=")[0]!), `${line.split("=")[1]}\n`)
              return task.prompt.includes("fail")
                ? Effect.fail({
                    fault: { _tag: "Crashed" as const, detail: "", exitCode: 1, signal: null },
                    started: true,
                    sideEffects: "seen" as const
                  })
                : Effect.succeed({ stop: "end_turn", output: "I wrote the file with s3cret in it.", sideEffects: "seen" as const })
            })
          )
      }
    })
})

const attempt = (of: TaskSpec): AttemptContext => ({
  attemptId: "1",
  task: of,
  run: 1,
  attempt: 1,
  open: { marker: "m", directory: "", intend: Effect.void, register: () => Effect.void, gone: Effect.void },
  started: () => Effect.void,
  progress: () => {},
  permission: () => Effect.undefined
})

describe("Worktree", () => {
  const live = (name: string, body: () => Effect.Effect<void, unknown, Scope.Scope | ProcessTree.ProcessTrees>) =>
    it.live(name, () => Effect.provide(Effect.scoped(body()), ProcessTree.layer), { timeout: 60_000 })

  live(
    "C67 agents that write the same file do not see each other, the user's tree is untouched, and each result is a commit with a summary",
    () =>
      Effect.gen(function* () {
        const { git, read, root, status, top, worktrees, write } = yield* fixture
        write(top, "shared.txt", "the user's own, in no commit\n")
        const opened: Array<string> = []
        const driver = WorktreeDriver.isolated(writing(opened), worktrees)
        const run = (agent: AgentSpec, of: TaskSpec) =>
          Effect.flatMap(driver.open(agent, attempt(of).open), (session) => session.run(attempt(of)))
        yield* Effect.all(
          [run(spec("a"), task("ta", "shared.txt=a\nnew.txt=a")), run(spec("b", { cwd: "sub" }), task("tb", "../shared.txt=b"))],
          {
            concurrency: 2
          }
        )
        assert.deepEqual(opened.toSorted(), [path.join(root, "a"), path.join(root, "b", "sub")])
        assert.strictEqual(git(top, "show", "nofx/a:shared.txt"), "a")
        assert.strictEqual(git(top, "show", "nofx/a:new.txt"), "a")
        assert.strictEqual(git(top, "show", "nofx/b:shared.txt"), "b")
        assert.strictEqual(read(top, "shared.txt"), "the user's own, in no commit\n")
        assert.strictEqual(status(), "M shared.txt")
        assert.strictEqual(git(top, "log", "--format=%s%n%an", "-1", "nofx/a"), "nofx: ta: shared.txt=a\nNofX agent a")
        const body = git(top, "log", "--format=%b", "-1", "nofx/a")
        assert.strictEqual(body, "I wrote the file with [redacted] in it.\n\nTask: ta\nAgent: a")
      })
  )

  live("C67 a worktree is found again as it was left, and goes on from the user's branch once everything in it is merged", () =>
    Effect.gen(function* () {
      const { git, read, review, top, worktrees, write } = yield* fixture
      const agent = spec("a")
      const place = yield* using(worktrees, agent, (found) => {
        write(found.top, "result.txt", "1\n")
        return Effect.as(worktrees.commit(found, task("one"), undefined), found)
      })
      write(top, "later.txt", "later\n")
      git(top, "add", "--all")
      git(top, "commit", "--quiet", "--message=later")
      yield* using(worktrees, agent, (found) => Effect.sync(() => assert.isUndefined(read(found.top, "later.txt"))))
      const reviewed = yield* review
      yield* reviewed.merge("a")
      assert.strictEqual(read(top, "result.txt"), "1\n")
      yield* using(worktrees, agent, () => Effect.void)
      assert.strictEqual(read(place.top, "later.txt"), "later\n")
      assert.strictEqual(git(place.top, "status", "--porcelain"), "")
    })
  )

  live("C67 what a failed attempt leaves stays for the next one of its task, and is committed by its name when another task begins", () =>
    Effect.gen(function* () {
      const { git, read, top, worktrees } = yield* fixture
      const driver = WorktreeDriver.isolated(writing([]), worktrees)
      const place = yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* driver.open(spec("a"), attempt(task("one")).open)
          yield* Effect.flip(session.run(attempt(task("one", "half.txt=1\nfail"))))
          const found = yield* worktrees.find(spec("a"))
          assert.isDefined(found)
          assert.strictEqual(git(found.top, "status", "--porcelain"), "?? half.txt")
          yield* Effect.flip(session.run(attempt(task("one", "more.txt=1\nfail"))))
          assert.strictEqual(git(top, "log", "--format=%s", "nofx/a"), "first")
          return found
        })
      )
      yield* Effect.flatMap(driver.open(spec("a"), attempt(task("two")).open), (session) => session.run(attempt(task("two", "two.txt=2"))))
      assert.strictEqual(git(top, "log", "--format=%s", "nofx/a"), "nofx: two: two.txt=2\nnofx: unfinished work of one\nfirst")
      assert.strictEqual(git(top, "show", "--name-only", "--format=", "nofx/a~1"), "half.txt\nmore.txt")
      assert.strictEqual(read(place.top, "half.txt"), "1\n")
    })
  )

  live("C64 C67 a task's check runs where the agent worked, and what another task left is none of its changes", () =>
    Effect.gen(function* () {
      const { worktrees, write } = yield* fixture
      const place = yield* worktrees.acquire(spec("a"))
      yield* worktrees.begin(place, task("one"))
      write(place.top, "left.txt", "left\n")
      const looked: Array<string | undefined> = []
      const check = WorktreeDriver.checkedThere(
        {
          baseline: (_, agent) =>
            Effect.sync(() => void looked.push(agent.cwd)).pipe(Effect.as(fs.existsSync(path.join(place.top, "left.txt")) ? "b" : "a")),
          check: (_, agent) => Effect.sync(() => void looked.push(agent.cwd)).pipe(Effect.as({ _tag: "Passed", verified: true }))
        },
        worktrees
      )
      yield* check.baseline(task("two"), spec("a"))
      assert.isFalse(yield* worktrees.commit(place, task("two"), undefined))
      yield* check.check(task("two"), spec("a"), "b", "m")
      yield* check.check(task("two"), spec("a", { isolation: "shared", cwd: "/elsewhere" }), "b", "m")
      assert.deepEqual(looked, [place.cwd, place.cwd, "/elsewhere"])
      assert.deepInclude(yield* check.check(task("two"), spec("gone"), "b", "m"), { _tag: "Failed" })
    })
  )

  const refusals = [
    ["too many worktrees", { max: 0 }, /the most \(worktrees\.max\)/],
    ["too little space", { minFreeBytes: 2 ** 60 }, /too little space/]
  ] as const
  for (const [what, more, detail] of refusals) {
    live(`C67 ${what}: the agent is not started, with what to do about it`, () =>
      Effect.gen(function* () {
        const { base, git, make, root, top } = yield* fixture
        const worktrees = yield* make(more)
        const fault = yield* Effect.flip(worktrees.acquire(spec("a")))
        assert.deepInclude(fault, { _tag: "SpawnFailed", reason: "worktree" })
        assert.match(fault.detail, detail)
        assert.isFalse(fs.existsSync(path.join(root, "a")))
        assert.strictEqual(git(top, "branch", "--list", "nofx/*"), "")
        const outside = yield* Effect.flip(worktrees.acquire(spec("a", { cwd: base })))
        assert.match(outside.detail, /lies in no git repository: use isolation: shared/)
        fs.mkdirSync(path.join(base, "empty"))
        git(path.join(base, "empty"), "init", "--quiet")
        const unborn = yield* Effect.flip(worktrees.acquire(spec("a", { cwd: path.join(base, "empty") })))
        assert.match(unborn.detail, /has no commit yet/)
      })
    )
  }

  live("C67 a worktree in use by a living process is not shared; the lock of a dead one is taken away", () =>
    Effect.gen(function* () {
      const { git, review, top, worktrees } = yield* fixture
      const scope = yield* Scope.make()
      const place = yield* Effect.provideService(worktrees.acquire(spec("a")), Scope.Scope, scope)
      const again = yield* Effect.flip(worktrees.acquire(spec("a")))
      assert.match(again.detail, new RegExp(`in use by another runtime \\(pid ${process.pid}\\)`))
      const reviewed = yield* review
      assert.strictEqual((yield* reviewed.list)[0]?.state, "working")
      assert.match((yield* Effect.flip(reviewed.remove("a", false))).message, /is working/)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* reviewed.list)[0]?.state, "idle")
      const dead = WorktreeRecord.lockReason({ pid: 1, startTime: "never", bootId: ProcessSystem.make().bootId })
      git(top, "worktree", "lock", "--reason", dead, place.top)
      fs.writeFileSync(path.join(place.folder, "index.lock"), "")
      yield* using(worktrees, spec("a"), () => Effect.void)
      assert.isTrue(fs.existsSync(place.top))
    })
  )

  live("C67 an addition that was cut off is made anew; a worktree whose files were deleted comes back with its branch", () =>
    Effect.gen(function* () {
      const { git, read, root, top, worktrees, write } = yield* fixture
      const at = path.join(root, "a")
      git(top, "worktree", "add", "--quiet", "--no-checkout", "-b", "nofx/a", at)
      yield* using(worktrees, spec("a"), (place) => {
        assert.strictEqual(read(place.top, "shared.txt"), "one\n")
        assert.strictEqual(git(place.top, "status", "--porcelain"), "")
        write(place.top, "kept.txt", "kept\n")
        return worktrees.commit(place, task("t"), undefined)
      })
      fs.rmSync(at, { recursive: true })
      yield* using(worktrees, spec("a"), (place) => Effect.sync(() => assert.strictEqual(read(place.top, "kept.txt"), "kept\n")))
    })
  )

  live("C67 an agent that left its branch is put back on it, unless that would lose its work", () =>
    Effect.gen(function* () {
      const { git, worktrees, write } = yield* fixture
      const place = yield* using(worktrees, spec("a"), Effect.succeed)
      git(place.top, "checkout", "--quiet", "-b", "elsewhere")
      yield* using(worktrees, spec("a"), () => Effect.void)
      assert.strictEqual(git(place.top, "symbolic-ref", "--short", "HEAD"), "nofx/a")
      git(place.top, "checkout", "--quiet", "--detach")
      write(place.top, "x.txt", "x\n")
      git(place.top, "add", "--all")
      git(place.top, "commit", "--quiet", "--message=on no branch")
      const refused = yield* Effect.flip(using(worktrees, spec("a"), () => Effect.void))
      assert.match(String(refused.detail), /holds work that is in no branch/)
    })
  )

  live("C67 several ACP agents of a repository get worktrees by default; one alone, commands, and those that say otherwise do not", () =>
    Effect.gen(function* () {
      const { base, top } = yield* fixture
      const decide = (specs: ReadonlyArray<AgentSpec>, others: ReadonlyArray<AgentSpec> = []) =>
        Effect.map(WorktreeIsolation.decide(specs, top, others), (decided) => decided.map((each) => each.isolation))
      const acp = (id: string, more: object = {}) => Schema.decodeUnknownSync(AgentSpec)({ id, driver: "acp", ...more })
      assert.deepEqual(yield* decide([acp("a")]), [undefined])
      assert.deepEqual(yield* decide([acp("a"), acp("b", { cwd: "sub" })]), ["worktree", "worktree"])
      assert.deepEqual(yield* decide([acp("a"), acp("b", { isolation: "shared" }), acp("c", { driver: "command" })]), [
        "worktree",
        "shared",
        undefined
      ])
      assert.deepEqual(yield* decide([acp("a", { cwd: base }), acp("b", { cwd: base })]), [undefined, undefined])
      assert.deepEqual(yield* decide([acp("a")], [acp("z")]), ["worktree"])
    })
  )

  live("C67 worktrees lie in the state directory, but never within the user's working tree", () =>
    Effect.gen(function* () {
      const { base, top } = yield* fixture
      const place = { platform: "linux" as const, env: { XDG_STATE_HOME: "/state" }, home: "/home/u" }
      const common = path.join(top, ".git")
      assert.match(WorktreeIsolation.directoryIn(base, place)(common, top), /\/worktrees\/repository-[0-9a-f]{12}$/)
      assert.isTrue(WorktreeIsolation.directoryIn(base, place)(common, top).startsWith(base))
      const inside = WorktreeIsolation.directoryIn(path.join(top, ".nofx"), place)(common, top)
      assert.match(inside, /^\/state\/nofx\/repositories\/repository-[0-9a-f]{12}\/worktrees$/)
    })
  )

  live("C67 the list and the diff show what is not merged and what is in no commit", () =>
    Effect.gen(function* () {
      const { review, worktrees, write } = yield* fixture
      const place = yield* using(worktrees, spec("a"), (found) => {
        write(found.top, "shared.txt", "two\n")
        return Effect.as(worktrees.commit(found, task("t", "change it"), undefined), found)
      })
      write(place.top, "shared.txt", "three\n")
      write(place.top, "new.txt", "new\n")
      const reviewed = yield* review
      assert.deepEqual(yield* reviewed.list, [
        {
          agent: "a",
          branch: "nofx/a",
          path: place.top,
          state: "idle",
          ahead: 1,
          uncommitted: ["shared.txt", "new.txt"],
          task: undefined,
          subject: "nofx: t: change it"
        }
      ])
      const diff = yield* reviewed.diff("a", false)
      assert.include(diff.text, "-one\n+three")
      assert.deepEqual(diff.untracked, ["new.txt"])
      assert.include((yield* reviewed.diff("a", true)).text, "shared.txt | 2 +-")
      fs.rmSync(place.top, { recursive: true })
      assert.include((yield* reviewed.diff("a", false)).text, "-one\n+two")
      assert.strictEqual((yield* reviewed.list)[0]?.state, "missing")
    })
  )

  live("C67 merging is refused, before anything is touched, where something is in no commit or would conflict", () =>
    Effect.gen(function* () {
      const { git, read, review, top, worktrees, write } = yield* fixture
      const place = yield* using(worktrees, spec("a"), (found) => {
        write(found.top, "shared.txt", "theirs\n")
        return Effect.as(worktrees.commit(found, task("t"), undefined), found)
      })
      const reviewed = yield* review
      const refused = Effect.map(Effect.flip(reviewed.merge("a")), (error) => error.message)
      write(top, "shared.txt", "mine\n")
      assert.match(yield* refused, /has changes that are in no commit \(shared\.txt\)/)
      git(top, "commit", "--quiet", "--all", "--message=mine")
      write(place.top, "more.txt", "more\n")
      assert.match(yield* refused, /Agent a has work that is in no commit \(more\.txt\)/)
      fs.rmSync(path.join(place.top, "more.txt"))
      assert.match(yield* refused, /would conflict in shared\.txt; nothing was changed/)
      assert.strictEqual(read(top, "shared.txt"), "mine\n")
      assert.strictEqual(git(top, "status", "--porcelain"), "")
      git(top, "reset", "--quiet", "--hard", "HEAD~1")
      assert.strictEqual((yield* reviewed.merge("a")).commits, 1)
      assert.strictEqual(read(top, "shared.txt"), "theirs\n")
      assert.strictEqual((yield* reviewed.merge("a")).commits, 0)
    })
  )

  live("C67 nothing that is in no commit is deleted, and a branch stays until it is merged", () =>
    Effect.gen(function* () {
      const { git, review, top, worktrees, write } = yield* fixture
      const agent = spec("a")
      const fresh = using(worktrees, agent, Effect.succeed)
      const place = yield* fresh
      const reviewed = yield* review
      const refused = (pattern: RegExp) =>
        Effect.map(Effect.flip(reviewed.remove("a", false)), (error) => {
          assert.match(error.message, pattern)
          assert.isTrue(fs.existsSync(place.top))
        })
      write(place.top, "new.txt", "new\n")
      yield* refused(/holds work that is in no commit \(new\.txt\)/)
      write(place.top, ".gitignore", "secret.env\n")
      yield* worktrees.commit(place, task("t"), undefined)
      write(place.top, "secret.env", "x\n")
      yield* refused(/holds files that git ignores \(secret\.env\).*--ignored/)
      fs.rmSync(path.join(place.top, "secret.env"))
      git(place.top, "checkout", "--quiet", "--detach")
      write(place.top, "new.txt", "changed\n")
      git(place.top, "commit", "--quiet", "--all", "--message=nowhere")
      yield* refused(/commits that are on no branch/)
      git(place.top, "checkout", "--quiet", "nofx/a")
      git(top, "init", "--quiet", path.join(place.top, "nested"))
      write(path.join(place.top, "nested"), "deep.txt", "deep\n")
      git(path.join(place.top, "nested"), "add", "--all")
      git(path.join(place.top, "nested"), "commit", "--quiet", "--message=deep")
      yield* worktrees.commit(place, task("t"), undefined)
      yield* refused(/holds repositories inside of it \(nested\)/)
      git(place.top, "rm", "--quiet", "--cached", "nested")
      git(place.top, "commit", "--quiet", "--message=without")
      fs.rmSync(path.join(place.top, "nested"), { recursive: true })
      assert.deepEqual(yield* reviewed.remove("a", false), { branch: "kept" })
      assert.isFalse(fs.existsSync(place.top))
      assert.match((yield* Effect.flip(reviewed.remove("a", false))).message, /no worktree of agent "a"/)
      yield* fresh
      assert.isTrue(fs.existsSync(path.join(place.top, "new.txt")))
      yield* reviewed.merge("a")
      write(place.top, "secret.env", "x\n")
      assert.deepEqual(yield* reviewed.remove("a", true), { branch: "deleted" })
      assert.strictEqual(git(top, "branch", "--list", "nofx/*"), "")
    })
  )
})
