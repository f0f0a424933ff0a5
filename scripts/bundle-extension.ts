/**
 * Bundles what the VSIX carries into `extension/dist`: the extension, what it needs seldom, and the host that it starts, one file each.
 *
 * All are CommonJS: editors load extensions that way, and a single file can be copied to where an update of the extension does not replace it.
 */
import { copyFileSync, rmSync, statSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { build, type Plugin } from "esbuild"

/**
 * Tells the bundler that definitions of our modules do nothing by being made (schemas, layers, effects, classes over them), so that those which
 * nobody uses are left out.
 */
const definitionsArePure: Plugin = {
  name: "definitions-are-pure",
  setup: (bundler) => {
    const definition = /^((?:export )?const [\w$]+(?:: [^=\n]+)? = |export class [^{]*? extends )(?=[A-Z]\w*\.\w+[(<.])/gm
    bundler.onLoad({ filter: /[.]ts$/ }, async ({ path }) => ({
      loader: "ts",
      contents: (await readFile(path, "utf8")).replace(definition, "$1/* @__PURE__ */ ")
    }))
  }
}

rmSync("extension/dist", { recursive: true, force: true })
await build({
  entryPoints: { extension: "extension/src/extension.ts", seldom: "extension/src/seldom.ts", host: "src/host/main.ts" },
  outdir: "extension/dist",
  outExtension: { ".js": ".cjs" },
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node22",
  external: ["vscode"],
  minify: true,
  legalComments: "none",
  logLevel: "warning",
  plugins: [definitionsArePure],
  // Modules look for files beside themselves by this.
  define: { "import.meta.url": "moduleUrl" },
  banner: { js: 'const moduleUrl = require("node:url").pathToFileURL(__filename).href;' }
})
copyFileSync("LICENSE", "extension/LICENSE")
for (const name of ["extension", "seldom", "host"]) {
  const file = `extension/dist/${name}.cjs`
  console.log(`${file}: ${Math.round(statSync(file).size / 1000)} kB`)
}
