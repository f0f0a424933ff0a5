/** The rows of the Dead Letters view, by cause; the largest first. Pure. */
import type { Snapshot } from "../../../src/RuntimeStatus.ts"
import { brief, moment, span, type Translate } from "../View.ts"
import { bounded, lines, type Node } from "./Node.ts"

type Letter = Snapshot["deadLetters"][number]

/** The letters that wait for a decision, or are being tried again. */
export const waiting = (snapshot: Snapshot): ReadonlyArray<Letter> =>
  snapshot.deadLetters.filter(({ status }) => status === "pending" || status === "redriving")

/** `OutcomeUnknown` as words. */
export const words = (cause: string): string => {
  const spaced = cause.replaceAll(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase()
  return spaced.charAt(0).toUpperCase() + spaced.slice(1)
}

/** A subject without its batch. */
export const subjectName = (letter: Pick<Letter, "kind" | "subject">): string => {
  const name = letter.subject.split("/").at(-1) ?? letter.subject
  return letter.kind === "task" ? name : `${letter.kind} ${name}`
}

export const nodes = (snapshot: Snapshot, now: number, t: Translate, limit: number): ReadonlyArray<Node> =>
  [...Map.groupBy(waiting(snapshot), ({ cause }) => cause)]
    .toSorted(([a, x], [b, y]) => y.length - x.length || (a < b ? -1 : 1))
    .map(([cause, letters]) => ({
      id: `cause:${cause}`,
      label: words(cause),
      description: String(letters.length),
      context: "group.cause",
      spoken: t("{0}: {1} dead letters", words(cause), letters.length),
      children: bounded(
        letters.toSorted((a, b) => b.failedAt - a.failedAt),
        limit,
        (letter) => letterNode(letter, now, t),
        (count) => ({ id: `more:${cause}`, label: t("{0} more", count) })
      )
    }))

const nextText = ({ asked, redriveAt, status }: Letter, now: number, t: Translate): string => {
  if (status === "redriving") return t("is being tried again")
  if (asked !== undefined && asked.left === undefined) return t("waits for the one that goes first")
  if (redriveAt !== undefined) return redriveAt <= now ? t("tries again soon") : t("tries again in {0}", span(redriveAt - now))
  return asked?.left === undefined ? t("for you to decide") : t("for you to decide: {0}", asked.left)
}

const letterNode = (letter: Letter, now: number, t: Translate): Node => {
  const next = nextText(letter, now, t)
  return {
    id: `letter:${letter.id}`,
    label: subjectName(letter),
    description: [brief(letter.reason, 80), next].join(" · "),
    icon: letter.status === "redriving" ? ["sync", "charts.blue"] : ["mail", "list.warningForeground"],
    context: `letter.${letter.status}`,
    spoken: [t("Dead letter {0}", subjectName(letter)), words(letter.cause), brief(letter.reason), next].join(", "),
    tooltip: lines(subjectName(letter), [
      [t("Why"), letter.reason],
      [t("Cause"), words(letter.cause)],
      [t("Failures"), String(letter.failures)],
      [t("Tried again"), letter.redrives === 0 ? undefined : String(letter.redrives)],
      [t("Next"), next],
      [t("Failed"), moment(letter.failedAt, now)]
    ]),
    subject: { _tag: "letter", deadLetterId: letter.id },
    command: "nofx.openDeadLetter"
  }
}
