/** What NofX writes down beside a worktree of its own: in git's own folder for it, so that it is found by it and goes with it. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as path from "node:path"
import type { ProcessIdentity } from "./AgentDriver.ts"

export const WorktreeRecord = Schema.Struct({
  agent: Schema.String,
  branch: Schema.String,
  /** The task whose work lies there; absent before the first. */
  task: Schema.optionalKey(Schema.String)
})
export type WorktreeRecord = typeof WorktreeRecord.Type

/** The branch of an agent. Ids may hold what the name of a branch may not. */
export const branchOf = (agentId: string): string => `nofx/${agentId.replaceAll(/\.(?=\.|$|lock$)/g, "-")}`

/** Git's own folder for a worktree: where its `.git` points to. Undefined when it is none, or is gone. */
export const folderOf = (worktree: string): string | undefined => {
  try {
    const named = /^gitdir: (.+)$/m.exec(fs.readFileSync(path.join(worktree, ".git"), "utf8"))?.[1]
    return named === undefined ? undefined : path.resolve(worktree, named.trim())
  } catch {
    return undefined
  }
}

const fileName = "nofx.json"
const decode = Schema.decodeUnknownOption(Schema.fromJsonString(WorktreeRecord))

/** The record in git's folder for a worktree; undefined: it is not ours, or was never finished. */
export const read = (folder: string): WorktreeRecord | undefined => {
  try {
    return Option.getOrUndefined(decode(fs.readFileSync(path.join(folder, fileName), "utf8")))
  } catch {
    return undefined
  }
}

/** Replaces the record whole. */
export const write = (folder: string, record: WorktreeRecord): void => {
  const file = path.join(folder, fileName)
  fs.writeFileSync(`${file}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600 })
  fs.renameSync(`${file}.new`, file)
}

/** The folders that git keeps for the worktrees of a repository, with our records in them: also of worktrees whose files are gone. */
export const all = (common: string): ReadonlyArray<{ readonly folder: string; readonly path: string; readonly record: WorktreeRecord }> => {
  let names: ReadonlyArray<string> = []
  try {
    names = fs.readdirSync(path.join(common, "worktrees")).sort()
  } catch {
    // A repository without worktrees has no such folder.
  }
  return names.flatMap((name) => {
    const folder = path.join(common, "worktrees", name)
    const record = read(folder)
    if (record === undefined) return []
    try {
      return [{ folder, path: path.dirname(fs.readFileSync(path.join(folder, "gitdir"), "utf8").trim()), record }]
    } catch {
      return []
    }
  })
}

/** Why a worktree is locked while an agent works in it: tells who, so that a lock of the dead is known as such. */
export const lockReason = (owner: ProcessIdentity): string => `nofx ${owner.pid} ${owner.startTime} ${owner.bootId}`

/** Who locked it; undefined when it was not one of us. */
export const lockOwner = (reason: string): ProcessIdentity | undefined => {
  const [, pid, startTime, bootId] = /^nofx (\d+) (.+) (\S+)$/.exec(reason) ?? []
  return pid === undefined || startTime === undefined || bootId === undefined ? undefined : { pid: Number(pid), startTime, bootId }
}
