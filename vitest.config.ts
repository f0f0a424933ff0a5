import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

/** `.ci/run` adds up what the suites write here. */
const report = process.env.NOFX_TEST_REPORT

/** Suites that are slower or need more than the sources; each is a script of its own in package.json. */
const others = {
  package: ["test/package/**/*.test.ts"],
  redis: ["test/redis/**/*.test.ts"],
  crash: ["test/crash/processes/**/*.test.ts"],
  fuzz: ["test/fuzz/**/*.test.ts"]
}

export default defineConfig({
  test: {
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
    // Only a bound: tests wait for conditions. Real processes on a busy machine need more than the default of five seconds.
    testTimeout: 30_000,
    setupFiles: ["test/support/ownUser.ts"],
    // Compiling Effect anew would be most of the time of a short program.
    env: { NODE_COMPILE_CACHE: fileURLToPath(new URL("node_modules/.cache/node", import.meta.url)) },
    projects: [
      {
        extends: true,
        test: {
          name: "main",
          // Files share what they import; importing took longer than testing. Those that wait for processes leave the processors to others.
          isolate: false,
          maxWorkers: 3,
          include: ["test/**/*.test.ts"],
          exclude: [...Object.values(others).flat(), "test/e2e/**", "test/agents/**", "test/oldest/**", "test/vscode/**"]
        }
      },
      // On the oldest supported Node, which `test/oldest/run.ts` brings: what is made of Node's own parts.
      {
        extends: true,
        test: {
          name: "oldest",
          isolate: false,
          include: ["test/oldest/*.test.ts", "test/store/**/*.test.ts", "test/host/**/*.test.ts"]
        }
      },
      // One file at a time: each keeps the machine busy by itself.
      { extends: true, test: { name: "redis", include: others.redis, fileParallelism: false, testTimeout: 120_000 } },
      { extends: true, test: { name: "crash", include: others.crash } },
      // Keeps every processor busy by itself, for minutes.
      { extends: true, test: { name: "fuzz", include: others.fuzz, testTimeout: 600_000 } },
      // Real agents take processors and memory by themselves.
      {
        extends: true,
        test: { name: "agents", include: ["test/agents/*.test.ts"], fileParallelism: false, testTimeout: 120_000 }
      },
      // A real editor: one window server and one browser at a time. What fails on a busy machine is tried once more, and shown as such.
      {
        extends: true,
        test: {
          name: "e2e",
          retry: 1,
          include: ["test/e2e/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 90_000,
          hookTimeout: 180_000,
          expect: { poll: { timeout: 30_000 } }
        }
      },
      { extends: true, test: { name: "package", include: others.package, testTimeout: 300_000, hookTimeout: 300_000 } }
    ]
  }
})
