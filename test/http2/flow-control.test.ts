import fc from "fast-check";
import { expect, test } from "vitest";
import { ReceiveWindow, SendWindow } from "../../src/http2/flow-control.ts";

test("a send window grows to 2^31-1 and no further, also from below zero", () => {
  const window = new SendWindow(-5);
  expect(window.grow(2 ** 31 - 1)).toBe(true);
  expect(window.available).toBe(2 ** 31 - 6);
  expect([window.grow(5), window.grow(1)]).toEqual([true, false]);
});

test("a receive window is kept to, to the byte", () => {
  const window = new ReceiveWindow(100);
  expect([window.take(60), window.take(40), window.take(0), window.take(1)]).toEqual([
    true,
    true,
    true,
    false,
  ]);
});

test("it is given back half a window at a time, and none of it is lost", () => {
  const window = new ReceiveWindow(100);
  expect(window.take(100)).toBe(true);
  expect([window.consume(49), window.consume(1), window.consume(30), window.consume(20)]).toEqual([
    0, 50, 0, 50,
  ]);
  expect([window.take(100), window.take(1)]).toEqual([true, false]);
});

test("a peer that sends whatever it may is never stuck, and never has more than the window under way", () => {
  const turns = fc.array(fc.record({ send: fc.nat(200), consume: fc.nat(200) }), { maxLength: 200 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 150 }), turns, (size, each) => {
      const window = new ReceiveWindow(size);
      let mayBeSent = size;
      let unconsumed = 0;
      for (const { send, consume } of each) {
        const sent = Math.min(send, mayBeSent);
        expect(window.take(sent)).toBe(true);
        mayBeSent -= sent;
        unconsumed += sent;
        const consumed = Math.min(consume, unconsumed);
        unconsumed -= consumed;
        mayBeSent += window.consume(consumed);
        expect(mayBeSent + unconsumed).toBeLessThanOrEqual(size);
        expect(mayBeSent > 0 || unconsumed > 0).toBe(true);
      }
    }),
  );
});
