import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/global-setup.ts"],
    pool: "forks",
    // Many files wait for a server more than they compute; more than this starve each other's deadlines.
    maxWorkers: Math.max(2, Math.min(4, availableParallelism())),
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // A test that passes at the second attempt is a test that fails.
    retry: 0,
    passWithNoTests: false,
    restoreMocks: true,
    unstubEnvs: true,
  },
});
