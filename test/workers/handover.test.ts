import { Socket } from "node:net";
import { expect, test } from "vitest";
import { createHandover, type Taker } from "../../src/workers/handover.ts";

/** A worker that takes a connection when it is told to. */
class Worker implements Taker {
  readonly handed: Socket[] = [];
  private settle: { taken: () => void; lost: (error: Error) => void } | undefined;

  hand(socket: Socket): Promise<void> {
    this.handed.push(socket);
    return new Promise((taken, lost) => {
      this.settle = { taken, lost };
    });
  }

  async take(): Promise<void> {
    this.settle?.taken();
    await settled();
  }

  async die(): Promise<void> {
    this.settle?.lost(new Error("dead"));
    await settled();
  }
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

function give(handover: ReturnType<typeof createHandover>, count: number): Socket[] {
  const sockets = Array.from({ length: count }, () => new Socket());
  for (const socket of sockets) handover.give(socket);
  return sockets;
}

test("each connection goes to the worker that holds the fewest", async () => {
  const handover = createHandover();
  const [one, other] = [new Worker(), new Worker()];
  handover.add(one);
  handover.add(other);
  handover.count(one, 3);
  for (let index = 0; index < 5; index++) {
    give(handover, 1);
    await one.take();
    await other.take();
  }
  expect([one.handed.length, other.handed.length]).toEqual([1, 4]);
  handover.count(other, 0);
  give(handover, 1);
  expect(other.handed).toHaveLength(5);
});

test("a worker that does not come to take keeps one connection, and the others get the rest", async () => {
  const handover = createHandover();
  const [stuck, quick] = [new Worker(), new Worker()];
  handover.add(stuck);
  handover.add(quick);
  give(handover, 10);
  for (let index = 0; index < 10; index++) await quick.take();
  expect([stuck.handed.length, quick.handed.length]).toEqual([1, 9]);
});

test("a connection that a worker died before taking goes to another, and is open until one took it", async () => {
  const handover = createHandover();
  const [dying, other] = [new Worker(), new Worker()];
  handover.add(dying);
  const [socket] = give(handover, 1) as [Socket];
  handover.add(other);
  await dying.die();
  handover.remove(dying);
  expect(other.handed).toEqual([socket]);
  expect(socket.destroyed).toBe(false);
  await other.take();
  expect(socket.destroyed).toBe(true);
});

test("connections wait for the first worker; once there is none any more they are closed", async () => {
  const handover = createHandover();
  const early = give(handover, 3);
  expect(early.filter(({ destroyed }) => destroyed)).toEqual([]);
  const worker = new Worker();
  handover.add(worker);
  await worker.take();
  expect(worker.handed).toEqual(early.slice(0, 2));
  await worker.die();
  handover.remove(worker);
  expect(early.map(({ destroyed }) => destroyed)).toEqual([true, true, true]);
  const [late] = give(handover, 1) as [Socket];
  expect(late.destroyed).toBe(true);
});

test("what waits is bounded", () => {
  const handover = createHandover();
  const sockets = give(handover, 5000);
  const closed = sockets.filter(({ destroyed }) => destroyed);
  expect(closed).toEqual(sockets.slice(4096));
  handover.close();
  expect(sockets.filter(({ destroyed }) => !destroyed)).toEqual([]);
});
