import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lockFolder } from "../../src/embedded/lock.ts";
import { startProcess } from "./start-process.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tollgate-lock-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

const locked = { name: "TollgateError", code: "failed_precondition", reason: "DATA_FOLDER_LOCKED" };

/** What the lock of this process says, with other fields in their place. */
function leaveLock(fields: object): void {
  lockFolder(folder);
  const [name = ""] = readdirSync(folder);
  const own = JSON.parse(readFileSync(join(folder, name), "utf8")) as object;
  writeFileSync(join(folder, name), JSON.stringify({ ...own, ...fields }));
}

async function startHolder() {
  const holder = startProcess("hold-lock.process.ts", folder);
  expect(await holder.readLine()).toBe("ready");
  return holder;
}

test("a folder is locked once, by this process or another, and the error names both folder and process", async () => {
  const lock = lockFolder(folder);
  expect(() => lockFolder(folder)).toThrow(
    expect.objectContaining({
      ...locked,
      message: `The data folder ${folder} is in use by process ${process.pid}.`,
    }),
  );
  lock.release();
  const holder = await startHolder();
  holder.writeLine("go");
  expect(await holder.readLine()).toBe("held");
  expect(() => lockFolder(folder)).toThrow(
    expect.objectContaining({
      ...locked,
      message: `The data folder ${folder} is in use by process ${holder.pid}.`,
    }),
  );
});

test("a released lock is free, again and again, and leaves one file", () => {
  for (let round = 0; round < 5; round++) lockFolder(folder).release();
  lockFolder(folder);
  expect(readdirSync(folder)).toHaveLength(1);
});

test("a killed process's lock is taken over", async () => {
  const holder = await startHolder();
  holder.writeLine("go");
  expect(await holder.readLine()).toBe("held");
  await holder.kill();
  lockFolder(folder);
  expect(() => lockFolder(folder)).toThrow(expect.objectContaining(locked));
});

test("another process that has got a dead one's number is not taken for it", () => {
  leaveLock({ startTicks: "1" });
  expect(() => lockFolder(folder)).not.toThrow();
});

test("what ran before the machine was started again is dead", () => {
  leaveLock({ bootId: "another" });
  expect(() => lockFolder(folder)).not.toThrow();
});

test("a process of another host counts as alive, and the error tells what to do", () => {
  leaveLock({ host: `not-${hostname()}`, pid: 999_999_999 });
  expect(() => lockFolder(folder)).toThrow(
    expect.objectContaining({ ...locked, message: expect.stringMatching(/not-.*delete .*lock\.\d+/) }),
  );
});

test("of many processes at once exactly one gets a dead one's lock", async () => {
  const holders = await Promise.all(Array.from({ length: 6 }, startHolder));
  leaveLock({ startTicks: "1" });
  for (const holder of holders) holder.writeLine("go");
  const said = await Promise.all(holders.map((holder) => holder.readLine()));
  expect(said.filter((line) => line === "held")).toHaveLength(1);
  const winner = holders[said.indexOf("held")];
  expect(said.filter((line) => line?.endsWith(`process ${winner?.pid}.`))).toHaveLength(5);
});
