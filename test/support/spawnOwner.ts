/** Starts `ownerProcess.ts` and reads what it says. */
import * as childProcess from "node:child_process"
import * as path from "node:path"
import * as readline from "node:readline"
import { Effect } from "effect"

export interface Said {
  readonly owned?: number
  readonly refused?: string
  readonly alive?: boolean
  readonly pid?: number
  readonly fenced?: boolean
  readonly acknowledged?: number
}

export interface OwnerProcess {
  readonly pid: number
  /** Everything it has said so far. */
  readonly said: ReadonlyArray<Said>
  /** Waits until it has said at least this many lines, or has ended. */
  readonly lines: (count: number) => Effect.Effect<ReadonlyArray<Said>>
  readonly signal: (signal: NodeJS.Signals) => void
  /** Waits for its end. */
  readonly ended: Effect.Effect<void>
}

/** Killed with the scope. */
export const spawnOwner = (directory: string, mode: "own" | "commit" = "own") =>
  Effect.acquireRelease(
    Effect.sync((): OwnerProcess => {
      const script = path.join(import.meta.dirname, "ownerProcess.ts")
      const child = childProcess.spawn(
        process.execPath,
        ["--expose-gc", "--disable-warning=ExperimentalWarning", script, directory, mode],
        {
          stdio: ["pipe", "pipe", "inherit"]
        }
      )
      const said: Array<Said> = []
      const wakes = new Set<() => void>()
      let over = false
      const wake = () => {
        for (const one of wakes) one()
      }
      readline.createInterface({ input: child.stdout }).on("line", (line) => {
        said.push(JSON.parse(line))
        wake()
      })
      child.on("close", () => {
        over = true
        wake()
      })
      const until = (condition: () => boolean) =>
        Effect.callback<void>((resume) => {
          const look = () => {
            if (!condition()) return
            wakes.delete(look)
            resume(Effect.void)
          }
          wakes.add(look)
          look()
          return Effect.sync(() => void wakes.delete(look))
        })
      return {
        pid: child.pid ?? 0,
        said,
        lines: (count) =>
          Effect.as(
            until(() => over || said.length >= count),
            said
          ),
        signal: (signal) => void child.kill(signal),
        ended: until(() => over)
      }
    }),
    (owner) =>
      Effect.suspend(() => {
        owner.signal("SIGKILL")
        return owner.ended
      })
  )
