import { afterEach, expect, test } from "vitest";
import { adminToken, startMemoryServer } from "./memory-server.ts";
import { run } from "./run.ts";

let server: Awaited<ReturnType<typeof startMemoryServer>> | undefined;
afterEach(() => server?.close());

async function start(): Promise<Readonly<Record<string, string>>> {
  server = await startMemoryServer();
  return { TOLLGATE_URL: server.url, TOLLGATE_TOKEN: adminToken };
}

test("the demo plays every rule of both policies, and tells the same story each time", async () => {
  const env = await start();
  const first = await run(["demo"], { env });
  expect(first.stdout).not.toContain("✗");
  expect(first).toMatchObject({ status: 0, stderr: "" });
  const told = new Set([...first.stdout.matchAll(/^✓ ([AB]\d+) /gm)].map((match) => match[1]));
  const rules = [
    ...Array.from({ length: 11 }, (_, index) => `A${index + 1}`),
    ...Array.from({ length: 14 }, (_, index) => `B${index + 1}`),
  ];
  expect(told).toEqual(new Set(rules));
  expect(await run(["demo"], { env })).toEqual(first);
});

test("it leaves no workspace and no live key behind", async () => {
  const env = await start();
  await run(["demo"], { env });
  for (const directory of ["retool", "retrac"]) {
    expect((await run(["workspace", "list", "--directory", directory], { env })).stdout).toBe("");
  }
  expect((await run(["key", "list", "--status", "active"], { env })).stdout).toBe("");
  expect((await run(["key", "list", "--status", "revoked", "--limit", "1"], { env })).stdout).not.toBe("");
});

test("--json tells a step a line, and the sum", async () => {
  const env = await start();
  const { stdout } = await run(["--json", "demo"], { env });
  const lines = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  const sum = lines.pop();
  expect(sum).toMatchObject({ steps: lines.length, failed: 0 });
  expect(lines.every((line) => line.passed && line.got === line.want)).toBe(true);
});

test("without the policies it says what is missing, with status 1", async () => {
  server = await startMemoryServer(["retool"]);
  const env = { TOLLGATE_URL: server.url, TOLLGATE_TOKEN: adminToken };
  const { status, stderr } = await run(["demo"], { env });
  expect(status).toBe(1);
  expect(stderr).toMatch(/retrac.*\(DIRECTORY_UNKNOWN\)/);
});
