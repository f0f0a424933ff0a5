/**
 * Bundles what the VSIX carries into `extension/dist`: the extension's entry, its shell, what that needs seldom, and the host that it starts,
 * one file each.
 *
 * These are CommonJS: editors load extensions that way, and a single file can be copied to where an update of the extension does not replace it.
 * The page of the dashboard is a script and its styles, with the chart library in them.
 */
import { copyFileSync, rmSync, statSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { build, type BuildOptions, type Plugin } from "esbuild"

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

const plain = { outdir: "extension/dist", bundle: true, minify: true, legalComments: "none", logLevel: "warning" } satisfies BuildOptions

rmSync("extension/dist", { recursive: true, force: true })
await build({
  ...plain,
  entryPoints: {
    extension: "extension/src/extension.ts",
    shell: "extension/src/shellEntry.ts",
    seldom: "extension/src/seldom.ts",
    host: "src/host/main.ts"
  },
  outExtension: { ".js": ".cjs" },
  platform: "node",
  format: "cjs",
  target: "node22",
  external: ["vscode"],
  plugins: [definitionsArePure],
  // Modules look for files beside themselves by this.
  define: { "import.meta.url": "moduleUrl" },
  banner: { js: 'const moduleUrl = require("node:url").pathToFileURL(__filename).href;' }
})
await build({ ...plain, entryPoints: ["extension/webview/dashboard.js"], format: "iife", target: "es2022" })
copyFileSync("LICENSE", "extension/LICENSE")
for (const name of ["extension.cjs", "shell.cjs", "seldom.cjs", "host.cjs", "dashboard.js"]) {
  const file = `extension/dist/${name}`
  console.log(`${file}: ${Math.round(statSync(file).size / 1000)} kB`)
}
