/**
 * How an agent's permission requests are answered, by the mode its user chose. Nothing is granted by silence.
 *
 * Pure: the request and the mode give an answer, or the question for a person.
 */
import type { RequestPermissionOutcome, RequestPermissionRequest } from "@agentclientprotocol/sdk"
import * as path from "node:path"
import type { PermissionRequest } from "./AgentDriver.ts"
import type { PermissionMode } from "./AgentSpec.ts"

export type Decision =
  | { readonly _tag: "Answer"; readonly outcome: RequestPermissionOutcome; readonly granted: boolean }
  | { readonly _tag: "Ask"; readonly request: PermissionRequest }

/** Longest command line or diff that is shown, in characters. */
const detailLimit = 8_192

type Options = RequestPermissionRequest["options"]

/**
 * Decides. `known`: kind and title of the tool call, where the request itself does not repeat them. `root`: the agent's working
 * directory; in mode `edits` an edit outside of it is asked for.
 */
export const decide = (
  mode: PermissionMode,
  request: RequestPermissionRequest,
  known: { readonly kind: string; readonly title: string },
  root: string
): Decision => {
  const { options, toolCall } = request
  const kind = toolCall.kind ?? known.kind
  if (mode === "all") return grant(options)
  if (mode === "reject") return reject(options)
  const places = (toolCall.locations ?? []).map((location) => path.relative(root, path.resolve(root, location.path)))
  const inside = places.every((place) => place !== ".." && !place.startsWith(`..${path.sep}`) && !path.isAbsolute(place))
  if (mode === "edits" && kind === "edit" && inside) return grant(options)
  return {
    _tag: "Ask",
    request: {
      title: (toolCall.title ?? known.title).slice(0, 500),
      kind,
      detail: detailOf(toolCall).slice(0, detailLimit),
      options: options.map(({ kind: optionKind, name, optionId }) => ({ id: optionId, name, kind: optionKind }))
    }
  }
}

/** Turns a person's answer into the protocol's; undefined, or an option that was not offered, is a rejection. */
export const answer = (options: Options, chosen: string | undefined): Decision & { readonly _tag: "Answer" } => {
  const option = options.find(({ optionId }) => optionId === chosen)
  if (option === undefined) return reject(options)
  return { _tag: "Answer", outcome: { outcome: "selected", optionId: option.optionId }, granted: option.kind.startsWith("allow") }
}

/** For this once where that is offered: a standing permission is for people to give. */
const grant = (options: Options): Decision & { readonly _tag: "Answer" } => {
  const option = options.find(({ kind }) => kind === "allow_once") ?? options.find(({ kind }) => kind === "allow_always")
  return option === undefined
    ? reject(options)
    : { _tag: "Answer", outcome: { outcome: "selected", optionId: option.optionId }, granted: true }
}

const reject = (options: Options): Decision & { readonly _tag: "Answer" } => {
  const option = options.find(({ kind }) => kind === "reject_once") ?? options.find(({ kind }) => kind === "reject_always")
  return {
    _tag: "Answer",
    outcome: option === undefined ? { outcome: "cancelled" } : { outcome: "selected", optionId: option.optionId },
    granted: false
  }
}

const detailOf = (toolCall: RequestPermissionRequest["toolCall"]): string => {
  for (const content of toolCall.content ?? []) {
    if (content.type === "diff") return `${content.path}\n${content.newText}`
    if (content.type === "content" && content.content.type === "text") return content.content.text
  }
  const input: unknown = toolCall.rawInput
  if (typeof input === "string") return input
  if (typeof input !== "object" || input === null) return (toolCall.locations ?? []).map(({ path: place }) => place).join("\n")
  const command: unknown = (input as Record<string, unknown>).command ?? (input as Record<string, unknown>).cmd
  if (typeof command === "string") return command
  if (Array.isArray(command)) return command.join(" ")
  try {
    return JSON.stringify(input) ?? ""
  } catch {
    return ""
  }
}

/**
 * The agent's own mode that fits a permission mode, where it offers several; undefined when its current one is to stay. Some agents begin
 * in a mode that grants by itself, which would make the user's choice an empty one.
 */
export const modeFor = (
  mode: PermissionMode,
  modes: { readonly currentModeId: string; readonly availableModes: ReadonlyArray<{ readonly id: string }> }
): string | undefined => {
  const wanted = mode === "all" ? [] : mode === "edits" ? ["acceptEdits", "autoEdit", "agent", "default"] : ["default", "read-only"]
  const target = wanted.find((id) => modes.availableModes.some((available) => available.id === id))
  return target === modes.currentModeId ? undefined : target
}
