import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { handlers } from "../../extension/src/Commands.ts"
import { keysOf } from "../../extension/src/ContextKeys.ts"
import { tools } from "../../extension/src/LanguageTools.ts"
import { views } from "../../extension/src/trees/Trees.ts"
import manifest from "../../extension/package.json" with { type: "json" }
import bundle from "../../extension/l10n/bundle.l10n.json" with { type: "json" }
import texts from "../../extension/package.nls.json" with { type: "json" }

import { textsInSources } from "../../scripts/extension-texts.ts"

const { contributes } = manifest
const commands = contributes.commands.map(({ command }) => command)

/** Is the condition the same, or one part of it? */
const covers = (when: string, other: string): boolean =>
  when.split(" && ").every((part) => other.includes(part)) || /\^agent\\\./.test(when)

describe("the manifest", () => {
  it("C63 contributes exactly the commands that the extension registers, each in the category NofX", () => {
    assert.sameMembers(
      commands,
      Object.keys(handlers).map((name) => `nofx.${name}`)
    )
    assert.isTrue(contributes.commands.every(({ category }) => category === "NofX"))
  })

  it("C63 contributes exactly the views and the tools that the extension registers", () => {
    assert.sameMembers(
      contributes.views.nofx.map(({ id }) => id),
      Object.keys(views)
    )
    assert.sameMembers(
      contributes.languageModelTools.map(({ name }) => name),
      tools.map(({ name }) => name)
    )
  })

  it("C63 names in menus, keys, welcome texts and walkthrough only commands that exist", () => {
    const builtIn = ["vscode.openFolder", "workbench.trust.manage", "nofx.deadLetters.focus"]
    const inMenus = Object.values(contributes.menus).flatMap((items) => items.map(({ command }) => command))
    const inKeys = contributes.keybindings.map(({ command }) => command)
    const inTexts = Object.values(texts).flatMap((text) => [...text.matchAll(/\(command:([\w.]+)\)/g)].map((match) => match[1]!))
    assert.isAbove(inTexts.length, 10)
    assert.deepStrictEqual(
      [...inMenus, ...inKeys, ...inTexts].filter((command) => !commands.includes(command) && !builtIn.includes(command)),
      []
    )
  })

  it("C63 has every action of a row in its menu too, for who cannot point at it", () => {
    const items = contributes.menus["view/item/context"]
    const inline = items.filter(({ group }) => group.startsWith("inline"))
    const missing = inline.filter(
      (item) =>
        !items.some(({ command, group, when }) => command === item.command && !group.startsWith("inline") && covers(when, item.when))
    )
    assert.deepStrictEqual(missing, [])
  })

  it("C63 offers in the palette only what applies: every command that needs something says when", () => {
    const always = ["nofx.doctor", "nofx.showLog", "nofx.openSettings", "nofx.openWalkthrough"]
    const listed = contributes.menus.commandPalette.map(({ command }) => command)
    assert.sameMembers([...listed, ...always], commands)
  })

  it("C63 goes in its conditions by keys that the extension sets", () => {
    const used = new Set([...JSON.stringify(contributes).matchAll(/nofx:(\w+)/g)].map((match) => match[1]!))
    const view = {
      place: { _tag: "noFolder" },
      link: "idle",
      problem: undefined,
      snapshot: undefined,
      stateDirectory: undefined,
      about: [],
      skew: undefined,
      outdated: false,
      retiring: undefined
    } as const
    assert.includeMembers([...Object.keys(keysOf(view)), "agentFound"], [...used])
  })

  it("C63 has a text for every key, and a key for every text", () => {
    const keys = [...JSON.stringify(manifest).matchAll(/"%([^%"]+)%"/g)].map((match) => match[1]!)
    assert.sameMembers([...new Set(keys)], Object.keys(texts))
  })

  it("C63 gives translators every text that the sources show (scripts/extension-texts.ts)", () => {
    assert.deepStrictEqual(bundle, textsInSources())
  })

  it("C63 shows a welcome in each view for each state that it can be empty in", () => {
    const withWelcome = new Set(contributes.viewsWelcome.map(({ view }) => view))
    assert.sameMembers([...withWelcome], Object.keys(views))
    const agents = contributes.viewsWelcome.filter(({ view }) => view === "nofx.agents").map(({ when }) => when ?? "")
    for (const state of ["noFolder", "virtual", "untrusted", "link == failed", "link == stopped", "agentFound == no"]) {
      assert.isTrue(
        agents.some((when) => when.includes(state)),
        state
      )
    }
  })

  it("C42 activates when the editor has started, or when it is needed, never at once", () => {
    assert.deepStrictEqual(manifest.activationEvents, ["onStartupFinished", "onWebviewPanel:nofx.dashboard"])
  })

  it("C63 does nothing in a folder that is not trusted, and lets no folder's settings name a program or grant a permission", () => {
    const { untrustedWorkspaces, virtualWorkspaces } = manifest.capabilities
    assert.strictEqual(untrustedWorkspaces.supported, "limited")
    assert.isFalse(virtualWorkspaces.supported)
    const { properties } = contributes.configuration
    assert.includeMembers(untrustedWorkspaces.restrictedConfigurations, ["nofx.agents", "nofx.permissions"])
    for (const key of ["nofx.nodePath", "nofx.stateDirectory"] as const) assert.strictEqual(properties[key].scope, "machine")
    assert.strictEqual(properties["nofx.permissions"].default, "ask")
  })

  it("C42 is one program without signal handlers and without an end of the process in its sources", () => {
    assert.strictEqual(manifest.main, "./dist/extension.cjs")
    for (const name of ["extension", "Entrance", "StandIns"]) {
      const source = readFileSync(join(import.meta.dirname, `../../extension/src/${name}.ts`), "utf8")
      assert.notMatch(source, /process\.(?:on|once|exit|kill)/)
    }
  })
})
