/** The texts that the extension shows, for translators: `node scripts/extension-texts.ts` writes them into `extension/l10n`. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "../extension")

/** Every text that is given to `t`, as it stands in the sources. */
export const textsInSources = (): Readonly<Record<string, string>> => {
  const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"))
  const texts = files.flatMap((file) =>
    [...readFileSync(join(root, "src", file), "utf8").matchAll(/\bt\(\s*("(?:[^"\\]|\\.)*")/g)].map(
      (match) => JSON.parse(match[1]!) as string
    )
  )
  return Object.fromEntries([...new Set(texts)].sort().map((text) => [text, text]))
}

export const textsFile = join(root, "l10n/bundle.l10n.json")

if (import.meta.main) writeFileSync(textsFile, `${JSON.stringify(textsInSources(), null, 2)}\n`)
