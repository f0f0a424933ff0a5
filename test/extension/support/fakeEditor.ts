/**
 * An editor that is none: as much of the API as the shell uses, with everything that is registered, shown and asked written down.
 *
 * What it does not know throws loudly. Questions are answered by `answers`, in order; without one they are closed, as a user may.
 */
import type * as vscode from "vscode"

class Emitter<A> {
  readonly #listeners = new Set<(value: A) => void>()
  readonly event = (listener: (value: A) => void) => {
    this.#listeners.add(listener)
    return { dispose: () => void this.#listeners.delete(listener) }
  }
  fire(value: A): void {
    for (const listener of [...this.#listeners]) listener(value)
  }
  get size(): number {
    return this.#listeners.size
  }
  dispose(): void {
    this.#listeners.clear()
  }
}

class Uri {
  readonly scheme: string
  readonly path: string
  private constructor(scheme: string, path: string) {
    this.scheme = scheme
    this.path = path
  }
  get fsPath(): string {
    return this.path
  }
  static file(path: string): Uri {
    return new Uri("file", path)
  }
  static from({ path, scheme }: { scheme: string; path: string }): Uri {
    return new Uri(scheme, path)
  }
  static joinPath(base: Uri, ...more: ReadonlyArray<string>): Uri {
    return new Uri(base.scheme, [base.path, ...more].join("/"))
  }
  toString(): string {
    return `${this.scheme}:${this.path}`
  }
}

export interface Question {
  readonly kind: "message" | "pick" | "input"
  readonly text: string
  /** Buttons, or the labels of the rows. */
  readonly choices: ReadonlyArray<string>
}

export interface Options {
  readonly folder?: string | undefined
  /** The folder is there only after it was looked for once, as when a workspace comes in while the extension starts. */
  readonly folderComesLate?: boolean
  readonly trusted?: boolean
  readonly settings?: Readonly<Record<string, unknown>>
}

export const make = (manifest: { readonly version: string; readonly contributes: object }, options: Options = {}) => {
  /** Everything that is registered and not disposed. */
  const live = new Set<string>()
  let count = 0
  const register = (name: string, dispose: () => void = () => {}) => {
    const key = `${name}#${++count}`
    live.add(key)
    return {
      dispose: () => {
        live.delete(key)
        dispose()
      }
    }
  }
  const subscribe =
    <A>(name: string, emitter: Emitter<A>) =>
    (listener: (value: A) => void) => {
      const held = emitter.event(listener)
      return register(name, () => held.dispose())
    }

  const commands = new Map<string, (...given: ReadonlyArray<unknown>) => unknown>()
  const executed: Array<readonly [string, ...ReadonlyArray<unknown>]> = []
  const contextKeys = new Map<string, unknown>()
  const trees = new Map<
    string,
    {
      readonly provider: vscode.TreeDataProvider<unknown>
      readonly view: { badge?: { value: number } | undefined; visible: boolean; selection: Array<unknown> }
      readonly visibility: Emitter<{ visible: boolean }>
      refreshes: number
    }
  >()
  const providers = new Map<string, vscode.TextDocumentContentProvider>()
  const serializers = new Map<string, vscode.WebviewPanelSerializer>()
  const tools = new Map<string, vscode.LanguageModelTool<object>>()
  const shown: Array<{ readonly name: string; readonly text: string }> = []
  const questions: Array<Question> = []
  const said: Array<string> = []
  const answers: Array<(question: Question) => string | undefined> = []
  const panels: Array<{
    readonly messages: Array<Record<string, unknown>>
    readonly html: () => string
    readonly receive: Emitter<unknown>
    readonly ended: Emitter<void>
  }> = []
  const memory = new Map<string, unknown>()
  const settings = new Map(Object.entries(options.settings ?? {}))
  const status = { text: "", shown: false, spoken: "" }
  const trust = new Emitter<void>()
  const folders = new Emitter<unknown>()
  const configuration = new Emitter<unknown>()
  const closed = new Emitter<unknown>()
  let trusted = options.trusted ?? true
  let folder = options.folder
  let folderCame = false

  const answer = (question: Question): string | undefined => {
    questions.push(question)
    return answers.shift()?.(question)
  }
  const message = async (text: string, ...rest: ReadonlyArray<unknown>) =>
    answer({ kind: "message", text, choices: rest.filter((each): each is string => typeof each === "string") })

  const unknown = (name: string): never => {
    throw new Error(`the fake editor has no ${name}`)
  }
  const strict = <A extends object>(name: string, known: A): A =>
    new Proxy(known, {
      get: (target, key) => (key in target || typeof key === "symbol" ? Reflect.get(target, key) : unknown(`${name}.${String(key)}`))
    })

  const editor = strict("vscode", {
    version: "1.139.1",
    Uri,
    EventEmitter: class<A> extends Emitter<A> {
      readonly #held = register("EventEmitter")
      override dispose(): void {
        this.#held.dispose()
        super.dispose()
      }
    },
    TreeItem: class {
      readonly label: string
      readonly collapsibleState: number
      constructor(label: string, collapsibleState: number) {
        this.label = label
        this.collapsibleState = collapsibleState
      }
    },
    ThemeIcon: class {
      readonly id: string
      constructor(id: string) {
        this.id = id
      }
    },
    ThemeColor: class {
      readonly id: string
      constructor(id: string) {
        this.id = id
      }
    },
    MarkdownString: class {
      readonly value: string
      constructor(value: string) {
        this.value = value
      }
    },
    LanguageModelToolResult: class {
      readonly content: ReadonlyArray<{ value: string }>
      constructor(content: ReadonlyArray<{ value: string }>) {
        this.content = content
      }
    },
    LanguageModelTextPart: class {
      readonly value: string
      constructor(value: string) {
        this.value = value
      }
    },
    TreeItemCollapsibleState: { None: 0, Collapsed: 1, Expanded: 2 },
    StatusBarAlignment: { Left: 1, Right: 2 },
    ProgressLocation: { Notification: 15 },
    ViewColumn: { Active: -1 },
    l10n: {
      t: (text: string, ...values: ReadonlyArray<unknown>) =>
        text.replaceAll(/\{(\d)\}/g, (_, index: string) => String(values[Number(index)]))
    },
    env: strict("env", {
      appName: "fake",
      language: "en",
      remoteName: undefined,
      clipboard: { writeText: async (text: string) => void said.push(text) }
    }),
    lm: strict("lm", {
      registerTool: (name: string, tool: vscode.LanguageModelTool<object>) => {
        tools.set(name, tool)
        return register(`tool ${name}`, () => tools.delete(name))
      }
    }),
    commands: strict("commands", {
      registerCommand: (name: string, handler: (...given: ReadonlyArray<unknown>) => unknown) => {
        commands.set(name, handler)
        return register(`command ${name}`, () => commands.delete(name))
      },
      executeCommand: async (name: string, ...given: ReadonlyArray<unknown>) => {
        executed.push([name, ...given])
        if (name === "setContext") return void contextKeys.set(String(given[0]), given[1])
        return await commands.get(name)?.(...given)
      }
    }),
    window: strict("window", {
      activeTextEditor: undefined,
      createOutputChannel: () => ({ ...register("log"), info: () => {}, warn: () => {}, error: () => {}, debug: () => {}, show: () => {} }),
      createStatusBarItem: () => {
        const held = register("status bar item")
        return {
          dispose: held.dispose,
          show: () => void (status.shown = true),
          hide: () => void (status.shown = false),
          set text(text: string) {
            status.text = text
          },
          set accessibilityInformation({ label }: { label: string }) {
            status.spoken = label
          }
        }
      },
      createTreeView: (id: string, { treeDataProvider }: { treeDataProvider: vscode.TreeDataProvider<unknown> }) => {
        const visibility = new Emitter<{ visible: boolean }>()
        const view = { visible: false, selection: [] as Array<unknown>, badge: undefined }
        const tree = { provider: treeDataProvider, view, visibility, refreshes: 0 }
        trees.set(id, tree)
        treeDataProvider.onDidChangeTreeData?.(() => void tree.refreshes++)
        const held = register(`view ${id}`, () => trees.delete(id))
        return Object.assign(view, { dispose: held.dispose, onDidChangeVisibility: subscribe("visibility", visibility) })
      },
      showInformationMessage: message,
      showWarningMessage: message,
      showErrorMessage: message,
      setStatusBarMessage: (text: string) => void said.push(text),
      showQuickPick: async (items: ReadonlyArray<{ label: string }>, { title }: { title: string }) => {
        const choice = answer({ kind: "pick", text: title, choices: items.map(({ label }) => label) })
        return items.find(({ label }) => label === choice)
      },
      showInputBox: async ({ title }: { title: string }) => answer({ kind: "input", text: title, choices: [] }),
      withProgress: async (_: unknown, work: (progress: unknown, token: unknown) => unknown) =>
        work({ report: () => {} }, { isCancellationRequested: false, onCancellationRequested: () => ({ dispose: () => {} }) }),
      showTextDocument: async (document: { name: string; text: string }) => void shown.push(document),
      registerWebviewPanelSerializer: (type: string, serializer: vscode.WebviewPanelSerializer) => {
        serializers.set(type, serializer)
        return register("serializer", () => serializers.delete(type))
      },
      createWebviewPanel: () => {
        const held = register("panel")
        const receive = new Emitter<unknown>()
        const ended = new Emitter<void>()
        const messages: Array<Record<string, unknown>> = []
        const webview = {
          html: "",
          options: {},
          cspSource: "https://fake",
          asWebviewUri: (uri: Uri) => uri,
          postMessage: async (each: Record<string, unknown>) => void messages.push(each),
          onDidReceiveMessage: receive.event
        }
        panels.push({ messages, html: () => webview.html, receive, ended })
        return {
          webview,
          visible: true,
          iconPath: undefined,
          reveal: () => {},
          onDidDispose: ended.event,
          onDidChangeViewState: new Emitter<unknown>().event,
          dispose: () => {
            held.dispose()
            ended.fire()
          }
        }
      }
    }),
    workspace: strict("workspace", {
      get isTrusted() {
        return trusted
      },
      get workspaceFolders() {
        if (options.folderComesLate === true && !folderCame) {
          folderCame = true
          folders.fire(undefined)
          return undefined
        }
        return folder === undefined ? undefined : [{ name: "project", index: 0, uri: Uri.file(folder) }]
      },
      onDidChangeWorkspaceFolders: subscribe("folders", folders),
      onDidGrantWorkspaceTrust: subscribe("trust", trust),
      onDidChangeConfiguration: subscribe("configuration", configuration),
      onDidCloseTextDocument: subscribe("closed", closed),
      asRelativePath: (uri: Uri) => uri.path,
      getConfiguration: () => ({
        get: (key: string) => settings.get(`nofx.${key}`),
        inspect: (key: string) => ({ globalValue: settings.get(`nofx.${key}`) })
      }),
      registerTextDocumentContentProvider: (scheme: string, provider: vscode.TextDocumentContentProvider) => {
        providers.set(scheme, provider)
        return register("documents", () => providers.delete(scheme))
      },
      openTextDocument: async (uri: Uri) => ({
        name: uri.path.slice(1),
        text: String(await providers.get(uri.scheme)!.provideTextDocumentContent(uri as never, undefined as never))
      })
    })
  })
  const memento = {
    get: (key: string) => memory.get(key),
    update: async (key: string, value: unknown) => void memory.set(key, value),
    keys: () => [...memory.keys()]
  }
  const context = strict("context", {
    extension: { packageJSON: manifest },
    extensionUri: Uri.file("/extension"),
    globalStorageUri: Uri.file("/storage"),
    globalState: memento,
    workspaceState: memento,
    subscriptions: []
  })

  return {
    editor: editor as unknown as typeof vscode,
    context: context as unknown as vscode.ExtensionContext,
    live,
    commands,
    executed,
    contextKeys,
    trees,
    tools,
    providers,
    serializers,
    shown,
    questions,
    said,
    answers,
    panels,
    status,
    /** Calls a command as the palette, a menu or a link does. */
    run: (name: string, ...given: ReadonlyArray<unknown>) => Promise.resolve(commands.get(`nofx.${name}`)?.(...given)),
    /** Shows a view. */
    look: (id: string) => {
      const tree = trees.get(id)!
      tree.view.visible = true
      tree.visibility.fire({ visible: true })
    },
    /** All rows of a view, with those below them. */
    rows: (id: string) => {
      const { provider } = trees.get(id)!
      const below = (node?: unknown): ReadonlyArray<{ readonly node: unknown; readonly item: vscode.TreeItem }> =>
        (provider.getChildren(node) as ReadonlyArray<unknown>).flatMap((child) => [
          { node: child, item: provider.getTreeItem(child) as vscode.TreeItem },
          ...below(child)
        ])
      return below()
    },
    /** Changes a setting; undefined takes it back. */
    setting: (key: string, value: unknown) => {
      settings.set(key, value)
      configuration.fire({ affectsConfiguration: (section: string) => key === section || key.startsWith(`${section}.`) })
    },
    addFolder: (path: string) => {
      folder = path
      folders.fire(undefined)
    },
    grantTrust: () => {
      trusted = true
      trust.fire()
    }
  }
}
export type FakeEditor = ReturnType<typeof make>
