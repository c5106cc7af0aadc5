import { expect, test } from "vitest";
import type { TakeRequest } from "../../src/core/ports.ts";
import { createDueWatch, type Watched } from "../../src/redis/due-watch.ts";
import { PendingTake } from "../../src/redis/pending-take.ts";

const request: TakeRequest = { charges: [], mode: "enforce", requestId: "", onOutage: "deny" };
const BUDGET_MS = 20;
const TURN_MS = 10;

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function keepBusy(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

test("a process that is busy all the time gives up each take that has no answer, a few turns after its budget", async () => {
  const watch = createDueWatch<Watched>({ onAllFailed: () => {} });
  const turnsOf: number[] = [];
  const takes: PendingTake[] = [];
  for (let now = 0; now < 40; now++) {
    const nowMs = performance.now();
    const take = new PendingTake(request, nowMs + 60_000);
    take.send(nowMs + BUDGET_MS);
    take.answer.catch(() => turnsOf.push(now - takes.indexOf(take)));
    takes.push(take);
    watch.add({ takes: [take], sinceMs: nowMs, place: -1 });
    keepBusy(TURN_MS);
    await turn();
  }
  expect(turnsOf.length).toBeGreaterThanOrEqual(30);
});
