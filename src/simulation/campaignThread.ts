/** A thread of a campaign: does the runs that it is sent, one after the other, and tells what it sees. */
import { parentPort } from "node:worker_threads"
import * as Effect from "effect/Effect"
import * as Campaign from "./Campaign.ts"

const port = parentPort!
const tell = (message: Campaign.Message): void => port.postMessage(message)
let stopped = false

port.on("message", (message: Campaign.Run | "stop") => {
  if (message === "stop") {
    stopped = true
    return
  }
  const run = Campaign.perform(message, {
    onProgress: (progress) => tell({ _tag: "Progress", progress }),
    stop: () => stopped
  })
  Effect.runFork(Effect.map(run, tell))
})
