/**
 * Runs after `npm ci`, on whatever Node the machine has: makes sure that npm's scripts find the Node which the project brings along.
 *
 * The packages of all platforms carry a program of the same name. npm 10 drops the link to it when it skips the packages of the other
 * platforms; npm 11 and 12 keep it, and nothing is left to do here.
 */
import { existsSync, symlinkSync, writeFileSync } from "node:fs"

const bin = new URL("../node_modules/.bin/", import.meta.url)
const program = { linux: "bin/node", win32: "bin/node.exe" }[process.platform]
const folder = `node-${process.platform === "win32" ? "win" : process.platform}-${process.arch}`
const link = new URL(process.platform === "win32" ? "node.cmd" : "node", bin)

if (program !== undefined && !existsSync(link) && existsSync(new URL(`../${folder}/${program}`, bin))) {
  if (process.platform === "win32") writeFileSync(link, `@"%~dp0\\..\\${folder}\\bin\\node.exe" %*\r\n`)
  else symlinkSync(`../${folder}/${program}`, link)
}
