import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { spawn } from "node:child_process"
import { afterAll, assert, beforeAll, describe, it } from "vitest"

/**
 * The agent of this test: does what its input says. Faults happen on a task's first attempt only, so the end of each task is known.
 */
const agentProgram = `
cat > /dev/null
fault=$1
[ "$NOFX_TASK_ATTEMPT" = 1 ] || fault=$2
case "$fault" in
  crash) kill -KILL $$ ;;
  limited) echo "429 Too Many Requests, retry after 1s" >&2; exit 75 ;;
  error) echo "503 Service Unavailable" >&2; exit 1 ;;
  orphan) setsid sh -c 'trap "" TERM; sleep 600' > /dev/null 2>&1 & ;;
esac
echo "done $NOFX_TASK_ID"
`

const root = fs.mkdtempSync(path.join(os.tmpdir(), "nofx-run-"))
afterAll(() => fs.rmSync(root, { recursive: true, force: true }))

interface Finished {
  readonly code: number | null
  readonly lines: ReadonlyArray<string>
  readonly stderr: string
}

const nofx = (args: ReadonlyArray<string>): Promise<Finished> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, ["src/cli/main.ts", ...args], { stdio: ["ignore", "pipe", "pipe"] })
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (data) => (stdout += data))
    child.stderr.on("data", (data) => (stderr += data))
    child.on("close", (code) => resolve({ code, lines: stdout.split("\n").filter((line) => line !== ""), stderr }))
  })

/** Processes whose environment carries this text. */
const processesWith = (text: string): ReadonlyArray<string> =>
  fs
    .readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return fs.readFileSync(`/proc/${pid}/environ`, "latin1").includes(text)
      } catch {
        return false
      }
    })

describe("nofx run, 200 tasks over 8 command agents with 20 % injected faults", () => {
  const faults = ["crash", "limited", "error", "orphan"]
  const tasks = Array.from({ length: 200 }, (_, n) => ({
    id: `t${n}`,
    agent: "worker",
    effect: "idempotent",
    priority: n % 10 === 0 ? "high" : "medium",
    ...(n % 20 === 1 ? { dependsOn: [`t${n - 1}`] } : {}),
    input: { fault: n % 5 === 0 ? faults[(n / 5) % 4] : n === 7 ? "error" : "", always: n === 7 ? "error" : "" }
  }))
  const mark = path.basename(root)
  let run: Finished

  beforeAll(async () => {
    fs.writeFileSync(path.join(root, "agent.sh"), agentProgram)
    fs.writeFileSync(
      path.join(root, "tasks.json"),
      JSON.stringify({
        agents: [
          {
            id: "worker",
            driver: "command",
            command: ["sh", path.join(root, "agent.sh"), "{{task.input.fault}}", "{{task.input.always}}"],
            count: 8,
            env: { NOFX_TEST_MARK: mark }
          }
        ],
        tasks,
        config: {
          retry: { baseDelay: "50 millis", maxDelay: "200 millis", maxAttempts: 3, budget: { minimum: 1000, cap: 1000 } },
          circuitBreaker: { consecutiveFailures: 50 },
          cooldown: { slack: "10 millis", baseClosed: "1 second", rampStep: "100 millis", rampStart: 4 }
        }
      })
    )
    run = await nofx(["run", path.join(root, "tasks.json"), "--state-dir", path.join(root, "state"), "--json"])
  }, 170_000)

  it("ends every task as it must, exactly once", () => {
    const events = run.lines.map((line) => JSON.parse(line))
    const ends = new Map<string, ReadonlyArray<string>>()
    for (const event of events) {
      if (/^Task(Succeeded|DeadLettered|Cancelled)$/.test(event._tag))
        ends.set(event.taskId, [...(ends.get(event.taskId) ?? []), event._tag])
    }
    for (const task of tasks) {
      assert.deepEqual(ends.get(task.id), [task.id === "t7" ? "TaskDeadLettered" : "TaskSucceeded"], `${task.id}\n${run.stderr}`)
    }
  })

  it("says so with its exit code and its last event", () => {
    assert.strictEqual(run.code, 1, run.stderr)
    const last = JSON.parse(run.lines.at(-1)!)
    assert.deepInclude(last, { _tag: "RunFinished", succeeded: 199, deadLettered: 1, cancelled: 0, left: 0 })
  })

  it("C51 leaves no process, not even a grandchild in a session of its own that ignores SIGTERM", () => {
    assert.deepEqual(processesWith(`NOFX_TEST_MARK=${mark}`), [])
  })

  it("C46 every attempt's events come in their order", () => {
    const open = new Set<string>()
    for (const event of run.lines.map((line) => JSON.parse(line))) {
      if (event._tag === "AttemptStarted") open.add(event.attemptId)
      if (event._tag === "AttemptEnded") assert.isTrue(open.delete(event.attemptId) || event.outcome !== "succeeded")
    }
    assert.strictEqual(open.size, 0)
  })
})
