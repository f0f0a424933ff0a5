/** The four tree views: rows are computed when something is known anew, and shown when they differ from the last ones. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type * as vscode from "vscode"
import { Editor, hold, onEvent } from "../Editor.ts"
import { Link } from "../Link.ts"
import { viewOptions } from "../Names.ts"
import type { Translate, View } from "../View.ts"
import * as AgentsTree from "./AgentsTree.ts"
import * as DeadLettersTree from "./DeadLettersTree.ts"
import * as HealthTree from "./HealthTree.ts"
import { groupLimit, type Node } from "./Node.ts"
import * as TasksTree from "./TasksTree.ts"

/** The rows of each view that the manifest contributes. */
export const views = {
  "nofx.agents": (view: View, now: number, t: Translate, limit: number) =>
    view.snapshot === undefined ? [] : AgentsTree.nodes(view.snapshot, now, t, limit),
  "nofx.tasks": (view: View, now: number, t: Translate, limit: number) =>
    view.snapshot === undefined ? [] : TasksTree.nodes(view.snapshot, now, t, limit),
  "nofx.deadLetters": (view: View, now: number, t: Translate, limit: number) =>
    view.snapshot === undefined ? [] : DeadLettersTree.nodes(view.snapshot, now, t, limit),
  "nofx.health": HealthTree.nodes
} as const

/** A tree item for the editor. */
export const toItem = (editor: typeof vscode, node: Node): vscode.TreeItem => {
  const { Collapsed, Expanded, None } = editor.TreeItemCollapsibleState
  const item = new editor.TreeItem(node.label, node.children === undefined ? None : node.collapsed === true ? Collapsed : Expanded)
  item.id = node.id
  item.contextValue = node.context
  item.accessibilityInformation = { label: node.spoken }
  if (node.description !== undefined) item.description = node.description
  if (node.icon !== undefined) {
    const [name, color] = node.icon
    item.iconPath = new editor.ThemeIcon(name, color === undefined ? undefined : new editor.ThemeColor(color))
  }
  item.tooltip = node.tooltip === undefined ? node.spoken : new editor.MarkdownString(node.tooltip)
  if (node.command !== undefined) item.command = { command: node.command, title: "", arguments: [node] }
  return item
}

/** What commands may ask of the views. */
export class Trees extends Context.Service<
  Trees,
  {
    /** Shows more rows in each group. */
    readonly showMore: () => void
    /** The rows that are selected in a view. */
    readonly selection: (view: keyof typeof views) => ReadonlyArray<Node>
  }
>()("nofx/extension/Trees") {}

export const layer = Layer.effect(
  Trees,
  Effect.gen(function* () {
    const editor = yield* Editor
    const link = yield* Link
    const clock = yield* Clock.Clock
    const context = yield* Effect.context<never>()
    let limit = groupLimit

    const make = Effect.fnUntraced(function* (id: keyof typeof views) {
      const changed = yield* hold(() => new editor.EventEmitter<Node | undefined>())
      let shown: ReadonlyArray<Node> = []
      let text = ""
      const tree = yield* hold(() =>
        editor.window.createTreeView<Node>(id, {
          ...viewOptions(id),
          treeDataProvider: {
            onDidChangeTreeData: changed.event,
            getTreeItem: (node) => toItem(editor, node),
            getChildren: (node) => [...(node === undefined ? shown : (node.children ?? []))]
          }
        })
      )
      const update = (view: View): void => {
        const letters = view.snapshot?.status.deadLetters.size ?? 0
        if (id === "nofx.deadLetters") {
          const badge = letters === 0 ? undefined : { value: letters, tooltip: editor.l10n.t("{0} dead letters", letters) }
          if (tree.badge?.value !== badge?.value) tree.badge = badge
        }
        const { place } = view
        const several = place._tag === "ready" && (editor.workspace.workspaceFolders ?? []).length > 1
        if (id === "nofx.agents") tree.description = several ? place.name : ""
        // What nobody sees is computed when it is looked at.
        if (!tree.visible) return
        const rows = views[id](view, clock.currentTimeMillisUnsafe(), editor.l10n.t, limit)
        const next = JSON.stringify(rows)
        tree.message = view.link === "failed" && view.snapshot !== undefined ? (view.problem ?? "") : ""
        if (next === text) return
        text = next
        shown = rows
        changed.fire(undefined)
      }
      const onVisible = (visible: boolean): void => {
        link.watch(visible ? 1 : -1)
        if (!visible) return
        update(link.view())
        Effect.runForkWith(context)(link.resume)
      }
      yield* onEvent(tree.onDidChangeVisibility, ({ visible }) => onVisible(visible))
      // Looked at before it was made: that is why it was.
      if (tree.visible) onVisible(true)
      return { id, tree, update }
    })

    const trees = yield* Effect.forEach(Object.keys(views) as ReadonlyArray<keyof typeof views>, make)
    const update = (view: View): void => {
      for (const tree of trees) tree.update(view)
    }
    yield* Effect.forkScoped(Stream.runForEach(link.changes, (view) => Effect.sync(() => update(view))))

    return Trees.of({
      showMore: () => {
        limit += groupLimit
        update(link.view())
      },
      selection: (id) => trees.find((tree) => tree.id === id)?.tree.selection ?? []
    })
  })
)
