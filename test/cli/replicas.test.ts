import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { ReplicaReport, ReplicaRow } from "../../src/core/ports.ts";
import { adminToken, startMemoryServer } from "./memory-server.ts";
import { type RunOptions, run } from "./run.ts";

const old = "a".repeat(64);
const changed = "b".repeat(64);

let server: Awaited<ReturnType<typeof startMemoryServer>>;
let report: ReplicaReport;

function row(id: string, change: Partial<ReplicaRow> = {}): ReplicaRow {
  return {
    id,
    applied: 7n,
    leaseMs: 1000,
    policies: { retool: old },
    version: "1.2.3",
    renewal: "1",
    startedMsAgo: 90_000,
    renewedMsAgo: 240,
    ...change,
  };
}

function replicas(args: readonly string[] = [], options: RunOptions = {}) {
  const env = { TOLLGATE_URL: server.url, TOLLGATE_TOKEN: adminToken, ...options.env };
  return run([...args, "replicas"], { ...options, env });
}

beforeAll(async () => {
  server = await startMemoryServer(["retool"], () => report);
});
beforeEach(() => {
  report = { highest: 7n, replicas: [row("this"), row("that", { startedMsAgo: 40_000 })] };
});
afterAll(() => server.close());

test("all live with the same policies is status 0, and a table of who is there", async () => {
  expect(await replicas()).toEqual({
    status: 0,
    stderr: "",
    stdout: `REPLICA  VERSION  STATE  RENEWED    LEASE  UP    APPLIED  BEHIND
this     1.2.3    live   0.2 s ago  1 s    90 s  7        0       this one answers
that     1.2.3    live   0.2 s ago  1 s    40 s  7        0

API     POLICY        ON
retool  aaaaaaaaaaaa  all live replicas

2 of 2 live, last change 7
✓ all live, with the same policies
`,
  });
});

test("policies that differ are status 1, and it is told who has which", async () => {
  const policies = { retool: changed, retrac: old };
  report = { ...report, replicas: [row("this", { policies }), row("that"), row("other", { policies })] };
  const { status, stdout, stderr } = await replicas();
  expect({ status, stderr }).toEqual({ status: 1, stderr: "" });
  expect(stdout).toContain(`API     POLICY        ON
retool  aaaaaaaaaaaa  that
retool  bbbbbbbbbbbb  this
retool  bbbbbbbbbbbb  other
retrac  aaaaaaaaaaaa  this
retrac  aaaaaaaaaaaa  other
retrac  none          that

3 of 3 live, last change 7
`);
  expect(stdout.match(/^✗ .*/gm)).toEqual([
    expect.stringContaining("different policies of retool"),
    expect.stringContaining("different policies of retrac"),
  ]);
});

test("a lapsed replica is status 1, and how long it was silent and what it lacks are told", async () => {
  const lapsed = { renewedMsAgo: 185_000, startedMsAgo: 200_000_000, applied: 4n, version: "" };
  report = { ...report, replicas: [row("this"), row("that", lapsed)] };
  const { status, stdout } = await replicas();
  expect(status).toBe(1);
  expect(stdout).toMatch(/^that +- +LAPSED +3 min ago +1 s +2 d +4 +3$/m);
  expect(stdout).toMatch(
    /^1 of 2 live, last change 7\n✗ replica that has lapsed: it last renewed 3 min ago/m,
  );
});

test("a server without a lease of its own is status 1", async () => {
  report = { highest: 0n, replicas: [] };
  expect(await replicas()).toEqual({
    status: 1,
    stderr: "",
    stdout: "0 of 0 live, last change 0\n✗ the server that answers is not among them: it holds no lease\n",
  });
});

test("changes that a live replica has still to apply are no fault: they are applied all the time", async () => {
  report = { ...report, replicas: [row("this"), row("that", { applied: 6n })] };
  expect((await replicas()).status).toBe(0);
});

test("with --json it is the service's own answer, with the same status", async () => {
  report = { highest: 7n, replicas: [row("this", { applied: 6n }), row("that", { policies: {} })] };
  const { status, stdout } = await replicas(["--json"]);
  expect(status).toBe(1);
  expect(stdout.match(/\n/g)).toHaveLength(1);
  expect(JSON.parse(stdout)).toMatchObject({
    highestChange: "7",
    replicas: [
      {
        id: "this",
        isThis: true,
        state: "REPLICA_STATE_LIVE",
        startedAgo: "90s",
        renewedAgo: "0.240s",
        lease: "1s",
        appliedChange: "6",
        changesBehind: "1",
        policies: { retool: old },
      },
      { id: "that", isThis: false, policies: {} },
    ],
    policies: [{ api: "retool", policiesAgree: false, digests: [old] }],
  });
});

test("what a replica says of itself cannot send escape codes to the terminal", async () => {
  const version = "\u001b[31m1";
  report = { ...report, replicas: [row("this", { version }), row("\u001b[2J", { renewedMsAgo: 9000 })] };
  const { stdout } = await replicas();
  expect(stdout).not.toContain("\u001b");
});

test("who is no administrator is refused, with status 1", async () => {
  const made = await run(["token", "create", "--name", "ops", "--grants", "check,keys"], {
    env: { TOLLGATE_URL: server.url, TOLLGATE_TOKEN: adminToken },
  });
  const { status, stderr } = await replicas([], { env: { TOLLGATE_TOKEN: made.stdout.trim() } });
  expect(status).toBe(1);
  expect(stderr).toContain("GRANT_REQUIRED");
});
