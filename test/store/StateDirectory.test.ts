import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as StateDirectory from "../../src/store/StateDirectory.ts"
import { temporaryDirectory } from "../support/stateDirectory.ts"

const linux = (env: Record<string, string> = {}): StateDirectory.Place => ({ platform: "linux", env, home: "/home/ann" })
const mine = { user: process.getuid?.(), fileSystemType: () => 0xef53 }
const modeOf = (directory: string): number => fs.statSync(directory).mode & 0o777

const git = (cwd: string, ...args: ReadonlyArray<string>): string =>
  childProcess.execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@t", ...args], { cwd, encoding: "utf8" })

describe("StateDirectory", () => {
  it("C54 the user's directory follows the platform's convention", () => {
    const { userDirectory } = StateDirectory
    assert.strictEqual(userDirectory(linux()), "/home/ann/.local/state/nofx")
    assert.strictEqual(userDirectory(linux({ XDG_STATE_HOME: "/data" })), "/data/nofx")
    assert.strictEqual(userDirectory(linux({ XDG_STATE_HOME: "relative" })), "/home/ann/.local/state/nofx")
    assert.strictEqual(userDirectory(linux({ XDG_STATE_HOME: "" })), "/home/ann/.local/state/nofx")
    assert.strictEqual(userDirectory({ platform: "darwin", env: {}, home: "/Users/ann" }), "/Users/ann/Library/Application Support/nofx")
    const windows = { platform: "win32", home: "C:\\Users\\ann" } as const
    assert.strictEqual(userDirectory({ ...windows, env: { LOCALAPPDATA: "D:\\Local" } }), "D:\\Local\\nofx")
    assert.strictEqual(userDirectory({ ...windows, env: {} }), "C:\\Users\\ann\\AppData\\Local\\nofx")
  })

  it("C54 a repository's directory has a name to read, and one of its own for each path", () => {
    const of = (repository: string) => StateDirectory.repositoryDirectory(linux(), repository)
    assert.match(of("/src/my app/.git"), /^\/home\/ann\/\.local\/state\/nofx\/repositories\/my-app-[0-9a-f]{12}$/)
    assert.match(of("/"), /\/root-[0-9a-f]{12}$/)
    assert.notStrictEqual(of("/a/app/.git"), of("/b/app/.git"))
    const windows = { platform: "win32", env: {}, home: "C:\\Users\\ann" } as const
    assert.strictEqual(
      path.win32.basename(StateDirectory.repositoryDirectory(windows, "C:\\App")).split("-")[1],
      path.win32.basename(StateDirectory.repositoryDirectory(windows, "c:\\app")).split("-")[1]
    )
  })

  it.live("C54 all directories, links and worktrees of a repository share one state directory; another repository has its own", () =>
    Effect.gen(function* () {
      const base = yield* temporaryDirectory
      const repository = path.join(base, "app")
      fs.mkdirSync(path.join(repository, "deep", "down"), { recursive: true })
      git(repository, "init", "-q")
      git(repository, "commit", "-q", "--allow-empty", "-m", "first")
      git(repository, "worktree", "add", "-q", path.join(base, "tree"))
      fs.symlinkSync(repository, path.join(base, "link"))
      fs.mkdirSync(path.join(base, "plain"))
      const locate = (directory: string) => StateDirectory.locate(linux(), directory)
      const expected = yield* locate(repository)
      for (const same of [path.join(repository, "deep", "down"), path.join(base, "tree"), path.join(base, "link")]) {
        assert.strictEqual(yield* locate(same), expected)
      }
      assert.notStrictEqual(yield* locate(path.join(base, "plain")), expected)
      assert.strictEqual(yield* StateDirectory.locate(linux(), repository, "../state"), path.join(base, "state"))
    })
  )

  it.live("C54 a new directory has mode 0700, and one that others could read is narrowed", () =>
    Effect.gen(function* () {
      const base = yield* temporaryDirectory
      assert.strictEqual(modeOf(yield* StateDirectory.ensure(path.join(base, "a", "b"))), 0o700)
      const open = path.join(base, "open")
      fs.mkdirSync(open)
      fs.chmodSync(open, 0o755)
      assert.strictEqual(modeOf(yield* StateDirectory.ensure(open)), 0o700)
    })
  )

  it.live("C54 refuses, naming the path, what others can write, what is not the user's, a file, and a network file system", () =>
    Effect.gen(function* () {
      const base = yield* temporaryDirectory
      const shared = path.join(base, "shared")
      fs.mkdirSync(shared)
      fs.chmodSync(shared, 0o770)
      const file = path.join(base, "file")
      fs.writeFileSync(file, "")
      const own = path.join(base, "own")
      const refusal = (directory: string, on: StateDirectory.System = mine) => Effect.flip(StateDirectory.ensure(directory, on))
      const refusals = [
        yield* refusal(shared),
        yield* refusal(own, { ...mine, user: (mine.user ?? 0) + 1 }),
        yield* refusal(file),
        yield* refusal(path.join(file, "below")),
        yield* refusal(own, { ...mine, fileSystemType: () => 0x6969 }),
        // statfs may answer it as a negative number.
        yield* refusal(own, { ...mine, fileSystemType: () => 0xff534d42 | 0 })
      ]
      assert.deepStrictEqual(
        refusals.map((one) => one.reason),
        ["writable-by-others", "not-ours", "not-a-directory", "not-a-directory", "network-file-system", "network-file-system"]
      )
      for (const one of refusals) assert.include(one.message, base)
      assert.deepStrictEqual(fs.readdirSync(own), [])
    })
  )

  it.live("C54 an explicit directory within a work tree is invisible to git", () =>
    Effect.gen(function* () {
      const repository = yield* temporaryDirectory
      git(repository, "init", "-q")
      const directory = yield* StateDirectory.ensure(yield* StateDirectory.locate(linux(), repository, ".state"))
      fs.writeFileSync(path.join(directory, "nofx.db"), "")
      assert.strictEqual(git(repository, "status", "--porcelain"), "")
    })
  )
})
