import { createAgentManager } from "nofx/AgentManager"

const manager = await createAgentManager({ retry: { maxAttempts: 3 } })
await manager.spawn({ id: "tests", driver: "command", command: ["node", "--version"] })
const end = await manager.execute("tests", { id: "version", effect: "idempotent" })
console.log(end.state, end.output?.trim())
await manager.dispose()
