/** Bundles the extension and packs it: `nofx.vsix` in the root. */
import { spawnSync } from "node:child_process"

await import("./bundle-extension.ts")
const packed = spawnSync("vsce", ["package", "--no-dependencies", "--allow-missing-repository", "--out", "../nofx.vsix"], {
  cwd: "extension",
  stdio: "inherit",
  shell: process.platform === "win32"
})
process.exitCode = packed.status ?? 1
