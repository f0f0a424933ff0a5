// An agent whose tool runs in a session of its own and ignores SIGTERM.
// Usage: deserter.mjs FILE [stay|leave|orphan] [bare]
//   stay: wait for ever beside the tool · leave: exit 0 with the tool alive, holding the output pipe · orphan: the tool's parent dies at once
//   bare: the tool has no environment, so that no marker leads to it
import { spawn } from "node:child_process"
import { appendFileSync } from "node:fs"

const [file, mode = "stay", bare] = process.argv.slice(2)
if (mode === "tool") {
  process.on("SIGTERM", () => {})
  appendFileSync(file, `${process.pid}\n`)
  setInterval(() => {}, 1_000_000)
} else {
  const tool = spawn(process.execPath, [import.meta.filename, file, mode === "orphan" ? "launch" : "tool"], {
    detached: true,
    stdio: "inherit",
    env: bare === "bare" ? {} : process.env
  })
  if (mode === "launch") tool.once("spawn", () => process.exit(0))
  if (mode === "stay" || mode === "orphan") setInterval(() => {}, 1_000_000)
  if (mode === "leave") {
    const { existsSync } = await import("node:fs")
    const wait = setInterval(() => {
      if (existsSync(file)) {
        clearInterval(wait)
        process.stdout.write("left\n", () => process.exit(0))
      }
    }, 5)
  }
}
