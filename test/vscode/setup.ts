/**
 * Installs a real VS Code for the tests: the server and the web workbench of `code-server`, without compiling anything.
 *
 * `code-server` would install the dependencies of VS Code in a script of its own and compile native modules that no test touches. Here the
 * rest is installed, and the two native modules that VS Code loads at its start are replaced by what the tests need of them. Does nothing when
 * it has been done for this lock file already.
 */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"

const here = import.meta.dirname
const editor = join(here, "node_modules/code-server/lib/vscode")
const stampFile = join(here, "node_modules/.editor-is-ready")

/** What the workbench, the extension host, git, terminals and file watching do not need. */
const unneeded = [
  "@devcontainers/cli",
  "@github/copilot-sdk",
  "@microsoft/mxc-sdk",
  "@vscode/copilot-api",
  "@vscode/sandbox-runtime",
  "@vscode/sqlite3",
  "@vscode/windows-process-tree",
  "@vscode/windows-registry",
  "kerberos",
  "ssh2"
]

/** Writes log lines into a file. VS Code imports it by names, which must stand in the text. */
const logger = `
const fs = require("fs")
const path = require("path")
const levels = ["trace", "debug", "info", "warn", "error", "critical"]
class Logger {
  constructor(kind, name, file) {
    this.file = file
    this.level = 2
    this.raw = false
    fs.mkdirSync(path.dirname(file), { recursive: true })
    levels.forEach((word, level) => (this[word] = (text) => this.write(level, text)))
  }
  write(level, text) {
    if (level < this.level) return
    const line = this.raw ? text : new Date().toISOString() + " [" + levels[level] + "] " + text + "\\n"
    try { fs.appendFileSync(this.file, line) } catch {}
  }
  getLevel() { return this.level }
  setLevel(level) { this.level = level }
  clearFormatters() { this.raw = true }
  setPattern() {}
  flush() {}
  drop() {}
}
const create = async (name, file) => new Logger("", name, file)
exports.version = 0
exports.Logger = Logger
exports.setLevel = () => {}
exports.setFlushOn = () => {}
exports.createRotatingLogger = create
exports.createAsyncRotatingLogger = create
`

const npm = (directory: string, ...command: ReadonlyArray<string>): void => {
  execFileSync("npm", [...command, "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: directory, stdio: "inherit" })
}

const install = (): void => {
  npm(here, "ci")
  const manifestFile = join(editor, "package.json")
  const manifest: { dependencies: Record<string, string> } = JSON.parse(readFileSync(manifestFile, "utf8"))
  for (const name of unneeded) delete manifest.dependencies[name]
  writeFileSync(manifestFile, JSON.stringify(manifest))
  // `npm ci` refuses its shrink-wrap, which is not complete; the versions are pinned by it all the same.
  npm(editor, "install", "--omit=dev")

  writeFileSync(join(editor, "node_modules/@vscode/spdlog/index.js"), logger)
  const watchdog = join(editor, "node_modules/@vscode/native-watchdog")
  const { main = "index.js" }: { main?: string } = JSON.parse(readFileSync(join(watchdog, "package.json"), "utf8"))
  writeFileSync(join(watchdog, main), "exports.start = () => {}\n")
  // Large, and one of them talks to the network.
  for (const name of ["copilot", "mermaid-markdown-features"]) rmSync(join(editor, "extensions", name), { recursive: true, force: true })
}

const stamp = createHash("sha256")
  .update(readFileSync(join(here, "package-lock.json")))
  .update(readFileSync(import.meta.filename))
  .digest("hex")
if (!existsSync(stampFile) || readFileSync(stampFile, "utf8") !== stamp) {
  install()
  writeFileSync(stampFile, stamp)
}
