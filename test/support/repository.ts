/** A git repository of a test's own, with one commit; removed with the scope. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Effect } from "effect"

const env = {
  PATH: process.env.PATH ?? "",
  HOME: os.tmpdir(),
  GIT_CONFIG_GLOBAL: os.devNull,
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_AUTHOR_NAME: "User",
  GIT_AUTHOR_EMAIL: "user@example.invalid",
  GIT_COMMITTER_NAME: "User",
  GIT_COMMITTER_EMAIL: "user@example.invalid"
}

export const make = Effect.gen(function* () {
  const base = yield* Effect.acquireRelease(
    Effect.sync(() => fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "nofx-git-")))),
    (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
  )
  const top = path.join(base, "repository")
  const git = (directory: string, ...args: ReadonlyArray<string>): string =>
    execFileSync("git", args, { cwd: directory, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim()
  const write = (directory: string, name: string, content: string): void => {
    fs.mkdirSync(path.dirname(path.join(directory, name)), { recursive: true })
    fs.writeFileSync(path.join(directory, name), content)
  }
  const read = (directory: string, name: string): string | undefined => {
    try {
      return fs.readFileSync(path.join(directory, name), "utf8")
    } catch {
      return undefined
    }
  }
  fs.mkdirSync(top)
  git(top, "init", "--quiet", "--initial-branch=main")
  write(top, "shared.txt", "one\n")
  write(top, "sub/inner.txt", "inner\n")
  git(top, "add", "--all")
  git(top, "commit", "--quiet", "--message=first")
  return { base, top, env, git, write, read }
})
