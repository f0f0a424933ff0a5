/**
 * Everything that the manifest names, registered with the editor before the shell is loaded: the first use of any of it opens the shell, waits
 * for it, and goes on in it.
 *
 * The shell registers with `editor` as it would with the real one; there, what it registers takes the place of its stand-in.
 */
import type * as vscode from "vscode"
import { dashboardType, documentScheme, viewOptions } from "./Names.ts"

/** What is stood in for, as the manifest says it. */
export interface Contributed {
  readonly commands: ReadonlyArray<{ readonly command: string }>
  readonly views: { readonly nofx: ReadonlyArray<{ readonly id: string }> }
  readonly languageModelTools: ReadonlyArray<{ readonly name: string }>
}

export interface StandIns {
  /** The editor as the shell sees it. */
  readonly editor: typeof vscode
  readonly dispose: () => void
}

interface StandIn<A> {
  /** Uses the real thing, once there is one; undefined: there is none, since the shell could not be opened. */
  readonly use: <B>(call: (real: A) => B | PromiseLike<B>) => Promise<B | undefined>
  /** The real thing takes its place, until it is disposed. */
  readonly replace: (real: A) => vscode.Disposable
  readonly real: () => A | undefined
}

/** The object, with some of its members replaced. The editor's own are getters over closures: they work through the prototype. */
const over = <A extends object>(base: A, own: Partial<A>): A => Object.create(base, Object.getOwnPropertyDescriptors(own))

/** Registers them. `open` opens the shell, and resolves when it has registered with `editor`, or cannot be opened; it says so itself. */
export const make = (real: typeof vscode, { commands, languageModelTools, views }: Contributed, open: () => Promise<void>): StandIns => {
  const held = new Set<vscode.Disposable>()
  const hold = <A extends vscode.Disposable>(registration: A): A => {
    held.add(registration)
    return registration
  }
  const standIn = <A>(): StandIn<A> => {
    let taken: A | undefined
    return {
      use: async (call) => {
        await open()
        return taken === undefined ? undefined : await call(taken)
      },
      replace: (replacement) => {
        taken = replacement
        return { dispose: () => void (taken = undefined) }
      },
      real: () => taken
    }
  }

  const handlers = new Map(
    commands.map(({ command }) => {
      const handler = standIn<(...given: ReadonlyArray<unknown>) => unknown>()
      hold(real.commands.registerCommand(command, (...given: ReadonlyArray<unknown>) => handler.use((call) => call(...given))))
      return [command, handler]
    })
  )

  const trees = new Map(
    views.nofx.map(({ id }) => {
      const provider = standIn<vscode.TreeDataProvider<unknown>>()
      const changed = hold(new real.EventEmitter<unknown>())
      const view = hold(
        real.window.createTreeView(id, {
          ...viewOptions(id),
          treeDataProvider: {
            onDidChangeTreeData: changed.event,
            getChildren: (node) => provider.use((tree) => tree.getChildren(node)),
            getTreeItem: (node) => provider.real()!.getTreeItem(node)
          }
        })
      )
      return [id, { provider, changed, view }]
    })
  )

  const tools = new Map(
    // An editor without language models is one all the same.
    (real.lm?.registerTool === undefined ? [] : languageModelTools).map(({ name }) => {
      const tool = standIn<vscode.LanguageModelTool<unknown>>()
      hold(
        real.lm.registerTool<unknown>(name, {
          prepareInvocation: (options, token) => tool.use((called) => called.prepareInvocation?.(options, token)),
          invoke: async (options, token) => {
            const result = await tool.use((called) => called.invoke(options, token))
            if (result === undefined) throw new Error(real.l10n.t("NofX could not be loaded."))
            return result
          }
        })
      )
      return [name, tool]
    })
  )

  const documents = standIn<vscode.TextDocumentContentProvider>()
  const documentChanged = hold(new real.EventEmitter<vscode.Uri>())
  hold(
    real.workspace.registerTextDocumentContentProvider(documentScheme, {
      onDidChange: documentChanged.event,
      provideTextDocumentContent: (uri, token) => documents.use((provider) => provider.provideTextDocumentContent(uri, token))
    })
  )

  const dashboard = standIn<vscode.WebviewPanelSerializer>()
  hold(
    real.window.registerWebviewPanelSerializer(dashboardType, {
      deserializeWebviewPanel: async (panel, state) =>
        void (await dashboard.use((serializer) => serializer.deserializeWebviewPanel(panel, state)))
    })
  )

  return {
    editor: over(real, {
      commands: over(real.commands, { registerCommand: (name, handler) => handlers.get(name)!.replace(handler) }),
      window: over(real.window, {
        createTreeView: <A>(id: string, { treeDataProvider }: vscode.TreeViewOptions<A>) => {
          const { changed, provider, view } = trees.get(id)!
          provider.replace(treeDataProvider as vscode.TreeDataProvider<unknown>)
          treeDataProvider.onDidChangeTreeData?.((node) => changed.fire(node))
          // The view itself goes over to the shell, which disposes it.
          held.delete(view)
          return view as vscode.TreeView<A>
        },
        registerWebviewPanelSerializer: (_type, serializer) => dashboard.replace(serializer)
      }),
      workspace: over(real.workspace, {
        registerTextDocumentContentProvider: (_scheme, provider) => {
          provider.onDidChange?.((uri) => documentChanged.fire(uri))
          return documents.replace(provider)
        }
      }),
      lm: over(real.lm, { registerTool: (name, tool) => tools.get(name)!.replace(tool as vscode.LanguageModelTool<unknown>) })
    }),
    dispose: () => {
      for (const registration of held) registration.dispose()
    }
  }
}
