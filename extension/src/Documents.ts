/** Read-only documents that exist only while they are shown: transcripts, dead letters, questions, reports. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as vscode from "vscode"
import { ask, Editor, hold, onEvent } from "./Editor.ts"
import { documentScheme as scheme } from "./Names.ts"

export class Documents extends Context.Service<
  Documents,
  {
    /** Puts the text behind the name, and shows it beside or in the active group. `name` ends like a file: the editor colours by it. */
    readonly show: (name: string, text: string, options?: vscode.TextDocumentShowOptions) => Effect.Effect<vscode.TextEditor>
    /** New text for a document that is open; ignored when it is not. */
    readonly update: (name: string, text: string) => void
    readonly isOpen: (name: string) => boolean
    readonly uri: (name: string) => vscode.Uri
  }
>()("nofx/extension/Documents") {}

export const layer = Layer.effect(
  Documents,
  Effect.gen(function* () {
    const editor = yield* Editor
    const texts = new Map<string, string>()
    const changed = yield* hold(() => new editor.EventEmitter<vscode.Uri>())
    const uri = (name: string): vscode.Uri => editor.Uri.from({ scheme, path: `/${name}` })
    yield* hold(() =>
      editor.workspace.registerTextDocumentContentProvider(scheme, {
        onDidChange: changed.event,
        provideTextDocumentContent: ({ path }) =>
          texts.get(path.slice(1)) ?? editor.l10n.t("This document was of an earlier session; open it again from its view.")
      })
    )
    yield* onEvent(editor.workspace.onDidCloseTextDocument, (document) => {
      if (document.uri.scheme === scheme) texts.delete(document.uri.path.slice(1))
    })
    const put = (name: string, text: string): void => {
      if (texts.get(name) === text) return
      const known = texts.has(name)
      texts.set(name, text)
      if (known) changed.fire(uri(name))
    }
    return {
      uri,
      isOpen: (name) => texts.has(name),
      update: (name, text) => {
        if (texts.has(name)) put(name, text)
      },
      show: (name, text, options = {}) =>
        Effect.gen(function* () {
          put(name, text)
          const document = yield* ask(() => editor.workspace.openTextDocument(uri(name)))
          return yield* ask(() => editor.window.showTextDocument(document, { preview: true, ...options }))
        })
    }
  })
)
