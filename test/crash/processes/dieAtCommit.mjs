/**
 * Loaded before a program (`node --import`): the process kills itself at its n-th commit to a database, before it or right after it, as
 * `NOFX_TEST_DIE_AT` says: `12 before`. The program itself knows nothing of it.
 */
import { DatabaseSync } from "node:sqlite"

const [at, when] = (process.env["NOFX_TEST_DIE_AT"] ?? "").split(" ")
let commits = 0

const prepare = DatabaseSync.prototype.prepare
DatabaseSync.prototype.prepare = function (sql, ...more) {
  const statement = prepare.call(this, sql, ...more)
  if (sql !== "COMMIT") return statement
  const run = statement.run.bind(statement)
  statement.run = (...parameters) => {
    const dies = ++commits === Number(at)
    if (dies && when === "before") process.kill(process.pid, "SIGKILL")
    const result = run(...parameters)
    if (dies) process.kill(process.pid, "SIGKILL")
    return result
  }
  return statement
}
