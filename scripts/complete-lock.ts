/**
 * Adds to package-lock.json the optional platform packages that npm left out because the registry in use does not have them.
 *
 * npm 11 and 12 call a lock without them out of sync, and `npm ci` refuses it. An entry needs no more than its version and its platform:
 * npm installs it only there. Run by `npm run lock`, after every change of a dependency.
 */
import { readFileSync, writeFileSync } from "node:fs"

interface Entry {
  readonly version?: string
  readonly dev?: boolean
  readonly optional?: boolean
  readonly os?: ReadonlyArray<string>
  readonly cpu?: ReadonlyArray<string>
  readonly libc?: ReadonlyArray<string>
  readonly optionalDependencies?: Record<string, string>
}

const systems: Record<string, string> = {
  darwin: "darwin",
  win32: "win32",
  android: "android",
  freebsd: "freebsd",
  openharmony: "openharmony",
  linux: "linux"
}
const processors = ["arm64", "x64", "ia32", "arm", "ppc64", "riscv64", "s390x", "wasm32"]

const file = "package-lock.json"
const lock: { packages: Record<string, Entry> } = JSON.parse(readFileSync(file, "utf8"))
const missing: Record<string, Entry> = {}
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const place = `node_modules/${name}`
    if (`${path}/${place}` in lock.packages || place in lock.packages || place in missing) continue
    const words = name.split(/[/-]/)
    const os = words.map((word) => systems[word]).find((system) => system !== undefined)
    const cpu = words.find((word) => processors.includes(word))
    if (!/^\d+\.\d+\.\d+$/.test(version) || (os === undefined && cpu === undefined)) {
      throw new Error(`${path} asks for ${name}@${version}: neither an exact version nor a platform can be told`)
    }
    missing[place] = {
      version,
      ...(cpu === undefined ? {} : { cpu: [cpu] }),
      ...(entry.dev === true ? { dev: true } : {}),
      ...(words.some((word) => word.startsWith("musl")) ? { libc: ["musl"] } : {}),
      optional: true,
      ...(os === undefined ? {} : { os: [os] })
    }
  }
}
lock.packages = Object.fromEntries(Object.entries({ ...lock.packages, ...missing }).sort(([a], [b]) => (a < b ? -1 : 1)))
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
console.log(`package-lock.json: ${Object.keys(missing).length} platform packages added`)
