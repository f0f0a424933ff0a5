import { opencode } from "./realAgents.ts"
import { suite } from "./suite.ts"

suite(opencode)
