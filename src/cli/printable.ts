/** Text from elsewhere, made fit to be shown: names of files and what agents say may hold anything, and a terminal must not obey it. */

/** Control characters as escapes; line breaks and tabs stay. */
export const printable = (text: string): string =>
  text.replace(/[^\P{Cc}\n\t]/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`)

/** Characters of a brief text at most. */
const briefLength = 160

/** The first line that says something, cut where it is long; the whole is told elsewhere. */
export const brief = (text: string, length = briefLength): string => {
  const lines = text.split("\n").map((line) => line.trim())
  const first = printable(lines.find((line) => line !== "") ?? "").replaceAll("\t", " ")
  const points = [...first]
  return points.length > length ? `${points.slice(0, length - 1).join("")}…` : first.replace(/:$/, "")
}

/** A command as one would type it, its arguments quoted where a shell would split them. */
export const commandText = (invocation: string, args: ReadonlyArray<string>): string =>
  [invocation, ...args.map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`))].join(" ")
