import { once } from "node:events";
import { connect, createServer } from "node:net";
import { expect, test } from "vitest";
import { freePort } from "./free-port.ts";
import { startTcpProxy } from "./tcp-proxy.ts";

test("answers come in the order they were given, however long they are held back", async () => {
  const answers = Array.from({ length: 2000 }, (_, number) => `${number}`);
  const port = await freePort();
  const server = createServer({ noDelay: true }, (socket) => {
    const rest = [...answers];
    const sendNext = (): void => {
      const next = rest.shift();
      if (next === undefined) return;
      socket.write(`${next}\n`, () => setImmediate(sendNext));
    };
    sendNext();
  });
  await once(server.listen(port, "127.0.0.1"), "listening");
  const proxy = await startTcpProxy({ toPort: port });
  const client = connect({ port: proxy.port, host: "127.0.0.1" });
  let isSlow = false;
  const flips = setInterval(() => {
    isSlow = !isSlow;
    proxy.delayReplies(isSlow ? 3 : 0);
  }, 2);
  let text = "";
  for await (const bytes of client) {
    text += String(bytes);
    if (text.split("\n").length > answers.length) break;
  }
  clearInterval(flips);
  await proxy.stop();
  server.close();
  expect(text.trimEnd().split("\n")).toEqual(answers);
});
