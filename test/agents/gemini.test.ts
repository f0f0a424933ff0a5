import { gemini } from "./realAgents.ts"
import { suite } from "./suite.ts"

suite(gemini)
