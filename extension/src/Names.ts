/** What both the entry and the shell call things by, beyond what the manifest says. */

/** The scheme of the addresses of our read-only documents. */
export const documentScheme = "nofx"

/** The kind of panel that the dashboard is. */
export const dashboardType = "nofx.dashboard"

/** How the view with this name is to be handled. */
export const viewOptions = (id: string) => ({ showCollapseAll: true, canSelectMany: id === "nofx.deadLetters" })
