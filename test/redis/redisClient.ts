/** Looks into a Redis from outside. */
import { Effect } from "effect"
import { createClient } from "redis"

export const redisClient = (url: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = createClient({ url })
      client.on("error", () => {})
      await client.connect()
      return client
    }),
    (client) => Effect.sync(() => client.isOpen && client.destroy())
  )
