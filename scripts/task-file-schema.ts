/** Writes the published JSON Schema of the task file anew: `node scripts/task-file-schema.ts`. */
import { writeFileSync } from "node:fs"
import { RuntimeConfig } from "../src/RuntimeConfig.ts"
import { schemaFile, schemaText } from "../src/task/TaskFileSchema.ts"

writeFileSync(schemaFile, schemaText(RuntimeConfig))
