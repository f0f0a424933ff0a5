#!/usr/bin/env node
/**
 * The demo's agent: an offline stand-in for a coding agent, which really edits files and, when asked to, really fails.
 *
 * A plain program without dependencies: it reads a task as JSON on standard input (or the prompt as its first argument), follows the
 * instruction lines of the prompt in its working directory, and answers with a line for each step. Other lines are talk and are ignored.
 *
 *     write PATH: TEXT     append PATH: TEXT     replace PATH: FROM => TO     sleep MILLISECONDS     say TEXT
 *
 * `\n` in a TEXT is a line break. `input.fault` makes it fail: `{ kind, times?, after?, retryAfter? }` fails on the first `times` calls
 * for the task (default: on each), counted in the directory `NOFX_DEMO_STATE`, once `after` steps are done (default 0). Kinds:
 * `crash`: kills itself with SIGSEGV · `hang`: falls silent for ever · `429`: reports a rate limit with `retryAfter` seconds, exit 75 ·
 * `flaky`: reports a lost connection, exit 75 · `garbage`: binary noise, exit 1 · `claim-nothing`: claims success without doing anything ·
 * `grandchild`: leaves a process behind, in a session of its own, that ignores SIGTERM; goes on with the task.
 *
 * Exit codes: 0 done · 1 failed · 2 not understood · 75 try again later.
 */
import { spawn } from "node:child_process"
import { appendFileSync, mkdirSync, readFileSync, realpathSync, statSync, writeFileSync } from "node:fs"
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path"

interface Fault {
  readonly kind: string
  readonly times: number
  readonly after: number
  readonly retryAfter: number
}

/** Says why on standard error and ends. */
const fail = (code: number, message: string): never => {
  process.stderr.write(`${message}\n`)
  process.exit(code)
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Without a timer, so that nothing of the program runs meanwhile: what a hung process looks like from outside. */
const sleep = (milliseconds: number | undefined): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}

const readTask = (): { readonly id: string; readonly prompt: string; readonly input: Readonly<Record<string, unknown>> } => {
  const argument = process.argv[2]
  if (argument !== undefined) return { id: process.env["NOFX_TASK_ID"] ?? "argument", prompt: argument, input: {} }
  const text = readFileSync(0, "utf8")
  try {
    const task: unknown = JSON.parse(text)
    if (isRecord(task) && typeof task["prompt"] === "string") {
      const input = task["input"]
      return { id: typeof task["id"] === "string" ? task["id"] : "task", prompt: task["prompt"], input: isRecord(input) ? input : {} }
    }
  } catch {
    // Said below.
  }
  return fail(2, "Expected a task as JSON on standard input, with a prompt")
}

const readFault = (input: Readonly<Record<string, unknown>>): Fault | undefined => {
  const fault = input["fault"]
  if (!isRecord(fault)) return undefined
  const number = (key: string, otherwise: number) => (typeof fault[key] === "number" ? fault[key] : otherwise)
  return {
    kind: String(fault["kind"]),
    times: number("times", Number.POSITIVE_INFINITY),
    after: number("after", 0),
    retryAfter: number("retryAfter", 1)
  }
}

/** Which call for this task this is, from 1. One byte a call: appending is atomic, and survives whatever the call does to itself. */
const countCall = (task: string): number => {
  const directory = process.env["NOFX_DEMO_STATE"]
  if (directory === undefined || directory === "") return fail(2, "NOFX_DEMO_STATE must name the directory in which calls are counted")
  mkdirSync(directory, { recursive: true })
  const file = join(directory, `${encodeURIComponent(task)}.calls`)
  appendFileSync(file, ".")
  return statSync(file).size
}

/** Its pid is noted beside the counters, for whoever wants to see whether it is still there. */
const leaveProcess = (): void => {
  const child = spawn("sh", ["-c", "trap '' TERM; while :; do sleep 600; done"], { detached: true, stdio: "ignore" })
  child.unref()
  writeFileSync(join(process.env["NOFX_DEMO_STATE"] ?? ".", "grandchild.pid"), `${child.pid}\n`)
}

const misbehave = (fault: Fault): void => {
  switch (fault.kind) {
    case "crash":
      process.kill(process.pid, "SIGSEGV")
      return sleep(undefined)
    case "hang":
      return sleep(undefined)
    case "429":
      return fail(75, `API Error: 429 Too Many Requests: rate limit reached, retry after ${fault.retryAfter}s`)
    case "flaky":
      return fail(75, "API Error: connection reset by peer (ECONNRESET)")
    case "garbage":
      process.stdout.write(Buffer.from([0x00, 0xff, 0xfe, 0x9b, 0x07, 0x1b, 0x5b, 0x80, 0xc3, 0x28, 0x0a]))
      return fail(1, "\u0001\u0002 ~~ \u001b[31m ?? \u0003")
    case "claim-nothing":
      process.stdout.write("All done! I have made every change you asked for, and all tests pass.\n")
      return process.exit(0)
    case "grandchild":
      leaveProcess()
      return
    default:
      return fail(2, `Unknown fault: ${fault.kind}`)
  }
}

/** The file that a prompt names; never one outside of the working directory, not by `..` and not through a symbolic link. */
const inside = (path: string): string => {
  const home = realpathSync(process.cwd())
  const within = (file: string) => {
    const way = relative(home, file)
    return way !== ".." && !way.startsWith("../") && !way.startsWith("..\\") && !isAbsolute(way)
  }
  const file = resolve(home, path)
  if (path !== "" && file !== home && within(file) && within(real(file))) return file
  return fail(1, `Refused: ${path} is outside of the working directory`)
}

/** The path with its links followed, as far as it exists. */
const real = (file: string): string => {
  try {
    return realpathSync(file)
  } catch {
    return dirname(file) === file ? file : join(real(dirname(file)), basename(file))
  }
}

const lineBreaks = (text: string): string => text.replaceAll("\\n", "\n")

/** Does what one line asks for; false for a line that asks for nothing. */
const follow = (line: string): boolean => {
  const [, verb, rest] = /^(write|append|replace|sleep|say) (.*)$/.exec(line) ?? []
  if (verb === undefined || rest === undefined) return false
  if (verb === "say") {
    process.stdout.write(`${rest}\n`)
    return true
  }
  if (verb === "sleep") {
    sleep(Number(rest))
    return true
  }
  const [, path, text] = /^([^:]+): ?(.*)$/.exec(rest) ?? []
  if (path === undefined || text === undefined) return fail(2, `Expected "${verb} PATH: TEXT", got: ${line}`)
  const file = inside(path.trim())
  mkdirSync(dirname(file), { recursive: true })
  if (verb === "write") writeFileSync(file, `${lineBreaks(text)}\n`)
  else if (verb === "append") appendFileSync(file, `${lineBreaks(text)}\n`)
  else replace(file, path, text)
  process.stdout.write(`${verb} ${path.trim()}\n`)
  return true
}

const replace = (file: string, path: string, text: string): void => {
  const [from, to] = text.split(" => ", 2)
  if (from === undefined || to === undefined) return fail(2, `Expected "replace ${path}: FROM => TO"`)
  const before = readFileSync(file, "utf8")
  const [old, next] = [lineBreaks(from), lineBreaks(to)]
  // Asked again after it was done, as a task that may run twice is, it has nothing left to do.
  if (!before.includes(old) && before.includes(next)) return
  if (!before.includes(old)) return fail(1, `Not found in ${path}: ${from}`)
  writeFileSync(
    file,
    before.replace(old, () => next)
  )
}

const task = readTask()
const fault = readFault(task.input)
const acts = fault !== undefined && countCall(task.id) <= fault.times
let steps = 0
if (acts && fault.after === 0) misbehave(fault)
for (const line of task.prompt.split("\n")) {
  if (!follow(line.trim())) continue
  steps += 1
  if (acts && fault.after === steps) misbehave(fault)
}
process.stdout.write(`Done: ${steps} ${steps === 1 ? "step" : "steps"}.\n`)
