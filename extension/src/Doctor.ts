/** Looks at everything that NofX needs here, and says what to do where something is missing. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { Editor, Extension } from "./Editor.ts"
import { Hosts } from "./Hosts.ts"
import { Link } from "./Link.ts"
import { Programs } from "./Programs.ts"
import { Settings } from "./Settings.ts"
import { brief } from "./View.ts"

export const doctorReport = Effect.gen(function* () {
  const { env, l10n, version: editorVersion } = yield* Editor
  const { version } = yield* Extension
  const settings = yield* Settings
  const { about, link, place, problem, snapshot } = (yield* Link).view()
  const programs = yield* Programs
  const found = yield* programs.found
  const git = yield* programs.find("git")
  const { nodePath } = yield* settings.wish("")
  const node = yield* Effect.result((yield* Hosts).node({ nodePath }))
  const { predecessor, problems } = yield* settings.read
  const { t } = l10n
  const line = (good: boolean, text: string): string => `- ${good ? "✔" : "✘"} ${text}`
  const report = snapshot?.status.health
  return [
    `# ${t("NofX doctor")}`,
    "",
    `NofX ${version}, ${env.appName} ${editorVersion}, Node ${process.versions.node}${env.remoteName === undefined ? "" : `, ${t("remote {0}", env.remoteName)}`}`,
    "",
    `## ${t("Folder")}`,
    place._tag === "ready"
      ? line(true, place.directory)
      : line(
          false,
          place._tag === "untrusted"
            ? t("The folder is not trusted: nothing is started.")
            : place._tag === "virtual"
              ? t("The folder is not on this machine.")
              : t("No folder is open.")
        ),
    "",
    `## ${t("Host")}`,
    line(
      link !== "failed",
      link === "failed"
        ? (problem ?? "")
        : link === "connected"
          ? about.map(([label, value]) => `${label} ${value}`).join(", ")
          : t("not running here: it starts with the first agent or task")
    ),
    "",
    `## ${t("Programs")}`,
    Result.isSuccess(node) ? line(true, t("Node for the host: {0}", node.success)) : line(false, node.failure.message),
    git === undefined
      ? line(false, t("git is not on the PATH: agents share the folder, and what they change cannot be compared or merged."))
      : line(true, t("git: {0}", git)),
    "",
    `## ${t("Agents that can be started")}`,
    ...(found.length === 0
      ? [line(false, t("None was found on the PATH. Install one, or name yours in the setting nofx.agents."))]
      : found.map(({ how, own, title }) => line(true, `${title}: \`${brief(how)}\`${own ? ` (${t("settings")})` : ""}`))),
    "",
    `## ${t("Settings")}`,
    ...(problems.length === 0 ? [line(true, t("all can be taken"))] : problems.map((text) => line(false, text))),
    ...predecessor.map((name) => line(true, t("{0}, of the predecessor, is used", name))),
    "",
    `## ${t("Health")}`,
    ...(report === undefined
      ? [t("not known: nothing runs")]
      : report.checks.map((check) => line(check.status !== "unhealthy", `${check.name}: ${check.observed}`))),
    ...(report?.degraded ?? []).map((each) => line(false, `${each.component}: ${each.cause}`)),
    ""
  ].join("\n")
})
