/**
 * Secrets at rest: what work needs (an agent's environment and arguments, a prompt, an input) is kept, but does not lie open in the database.
 *
 * What is named like a secret or looks like one is encrypted with a key in a file of its own beside the database, which is made when it is first
 * needed: a copy of the database, a damaged one that was kept, or a search through the files gives nothing away. It protects from accidents,
 * not from who may read both files.
 */
import * as crypto from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Redaction from "../reliability/Redaction.ts"
import type { Task, TaskSpec } from "../task/Task.ts"
import { syncDirectory } from "./Damage.ts"
import type { AgentRecord } from "./Store.ts"

export interface Seal {
  /** As it is to be written. Throws when the key cannot be made. */
  readonly task: (task: Task) => Task
  readonly agent: (agent: AgentRecord) => AgentRecord
  /** As it was. Throws when the key is missing, or another one. */
  readonly openTask: (task: Task) => Task
  readonly openAgent: (agent: AgentRecord) => AgentRecord
}

/** Name of the key's file. */
export const fileName = "nofx.key"

const prefix = "sealed:1:"
/** The only field of a sealed input. */
const sealedField = "nofx.sealed"
const cipher = "aes-256-gcm"
const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16

/** The seal of a database, by the key beside it. `redactor`: tells what is a secret; default: by its looks and names only. */
export const make = (database: string, redactor: Redaction.Redactor = Redaction.make([])): Seal => {
  const file = path.join(path.dirname(database), fileName)
  const written = new WeakMap<TaskSpec, TaskSpec>()
  let known: Buffer | undefined

  const read = (): Buffer | undefined => {
    if (known === undefined && fs.existsSync(file)) known = fs.readFileSync(file)
    return known
  }

  const key = (): Buffer => read() ?? (known = create(file))

  const close = (text: string): string => {
    const nonce = crypto.randomBytes(nonceBytes)
    const sealing = crypto.createCipheriv(cipher, key(), nonce)
    const body = Buffer.concat([sealing.update(text, "utf8"), sealing.final()])
    return prefix + Buffer.concat([nonce, sealing.getAuthTag(), body]).toString("base64")
  }

  const open = (text: string): string => {
    if (!text.startsWith(prefix)) return text
    const used = read()
    if (used === undefined) throw new Error(`its secrets are sealed, and the key ${file} is gone`)
    const bytes = Buffer.from(text.slice(prefix.length), "base64")
    const opening = crypto.createDecipheriv(cipher, used, bytes.subarray(0, nonceBytes))
    opening.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes))
    return Buffer.concat([opening.update(bytes.subarray(nonceBytes + tagBytes)), opening.final()]).toString("utf8")
  }

  /** Text that a reader would take for a sealed one is sealed as well. */
  const closeSecret = (text: string, secret: boolean): string => (secret || text.startsWith(prefix) ? close(text) : text)

  const sealedIn = (input: TaskSpec["input"]): string | undefined => {
    const text = input[sealedField]
    return typeof text === "string" ? text : undefined
  }

  const closeInput = (input: TaskSpec["input"]): TaskSpec["input"] => {
    const plain = JSON.stringify(input)
    if (JSON.stringify(redactor.value(input)) === plain && sealedIn(input) === undefined) return input
    return { [sealedField]: close(plain) }
  }

  /** An argument may be secret by the flag before it: they are looked at together. The same array where none is. */
  const closeArguments = (argv: ReadonlyArray<string>): ReadonlyArray<string> => {
    const clean = redactor.value(argv) as ReadonlyArray<string>
    const closed = argv.map((argument, index) => closeSecret(argument, clean[index] !== argument))
    return closed.every((argument, index) => argument === argv[index]) ? argv : closed
  }

  const closeSpec = (spec: TaskSpec): TaskSpec => {
    const prompt = closeSecret(spec.prompt, redactor.text(spec.prompt) !== spec.prompt)
    const input = closeInput(spec.input)
    const verify = spec.verify === undefined ? undefined : closeArguments(spec.verify)
    if (prompt === spec.prompt && input === spec.input && verify === spec.verify) return spec
    return { ...spec, prompt, input, ...(verify === undefined ? {} : { verify }) }
  }

  return {
    task: (task) => {
      let spec = written.get(task.spec)
      if (spec === undefined) written.set(task.spec, (spec = closeSpec(task.spec)))
      return spec === task.spec ? task : { ...task, spec }
    },
    openTask: (task) => {
      const { input, prompt, verify } = task.spec
      const hidden = sealedIn(input)
      const isSealed = (text: string): boolean => text.startsWith(prefix)
      if (hidden === undefined && !isSealed(prompt) && verify?.some(isSealed) !== true) return task
      const spec = {
        ...task.spec,
        prompt: open(prompt),
        input: hidden === undefined ? input : JSON.parse(open(hidden)),
        ...(verify === undefined ? {} : { verify: verify.map(open) })
      }
      written.set(spec, task.spec)
      return { ...task, spec }
    },
    agent: (agent) => {
      const { command, env } = agent.spec
      return {
        ...agent,
        spec: {
          ...agent.spec,
          command: closeArguments(command),
          env: Object.fromEntries(
            Object.entries(env).map(([name, value]) => [
              name,
              closeSecret(value, Redaction.isSecretName(name) || redactor.text(value) !== value)
            ])
          )
        }
      }
    },
    openAgent: (agent) => ({
      ...agent,
      spec: {
        ...agent.spec,
        command: agent.spec.command.map(open),
        env: Object.fromEntries(Object.entries(agent.spec.env).map(([name, value]) => [name, open(value)]))
      }
    })
  }
}

/** Made whole or not at all, and on the disk before anything is sealed with it. */
const create = (file: string): Buffer => {
  const made = crypto.randomBytes(keyBytes)
  const fresh = `${file}.new`
  const handle = fs.openSync(fresh, "w", 0o600)
  fs.writeSync(handle, made)
  fs.fsyncSync(handle)
  fs.closeSync(handle)
  fs.renameSync(fresh, file)
  syncDirectory(path.dirname(file))
  return made
}
