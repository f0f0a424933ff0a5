/** A row of a tree view, as data: computed from the view, compared with the last one, and only then shown. */

/** What a row stands for; a command that is called on it takes it from here. */
export type Subject =
  | { readonly _tag: "agent"; readonly agentId: string; readonly task?: string; readonly requestId?: string }
  | { readonly _tag: "task"; readonly key: string; readonly taskId: string; readonly deadLetterId?: string }
  | { readonly _tag: "letter"; readonly deadLetterId: string }
  | { readonly _tag: "breaker"; readonly agentId: string }

export interface Node {
  /** Stable while the thing lives, so that selection and expansion survive a refresh. */
  readonly id: string
  readonly label: string
  readonly description?: string
  /** Markdown; made of plain words, every one escaped. */
  readonly tooltip?: string
  /** A codicon, and the theme colour it has. */
  readonly icon?: readonly [name: string, color?: string]
  /** Words separated by dots: what it is, then its states. Menus go by it. */
  readonly context: string
  /** The row in words, for who does not see it. */
  readonly spoken: string
  readonly subject?: Subject
  /** The command of a click. */
  readonly command?: string
  readonly children?: ReadonlyArray<Node>
  /** Is it shown with its children hidden at first? */
  readonly collapsed?: boolean
}

/** Rows of one group that are shown; beyond them one row says how many there are. */
export const groupLimit = 200

/** The first rows of a group, and one that stands for the rest. `count`: how many there are, where not all of them are known here. */
export const bounded = <A>(
  items: ReadonlyArray<A>,
  limit: number,
  toNode: (item: A) => Node,
  rest: (count: number) => Pick<Node, "id" | "label">,
  count = items.length
): ReadonlyArray<Node> => {
  const shown = items.slice(0, limit).map(toNode)
  if (count <= shown.length) return shown
  const more = rest(count - shown.length)
  return [...shown, { ...more, icon: ["ellipsis"], context: "more", spoken: more.label, command: "nofx.showMore" }]
}

/** Plain words in Markdown. */
export const plain = (text: string): string => text.replaceAll(/[\\`*_{}[\]()#+\-.!|<>~&]/g, "\\$&").replaceAll("\n", "  \n")

/** Lines of a tooltip: a label and what it is, where there is something. */
export const lines = (title: string, entries: ReadonlyArray<readonly [label: string, value: string | undefined]>): string =>
  [
    `**${plain(title)}**`,
    ...entries.flatMap(([label, value]) => (value === undefined || value === "" ? [] : [`${plain(label)}: ${plain(value)}`]))
  ].join("  \n")
