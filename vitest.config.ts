import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/e2e/**", "test/agents/**", "test/vscode/**"],
    // Only a bound: tests wait for conditions. Real processes on a busy machine need more than the default of five seconds.
    testTimeout: 30_000
  }
})
