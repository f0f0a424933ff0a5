import { codex } from "./realAgents.ts"
import { suite } from "./suite.ts"

suite(codex)
