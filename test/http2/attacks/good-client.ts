import { type ClientHttp2Session, connect } from "node:http2";
import { type GoodClient, keepAsking } from "./keep-asking.ts";

/** On one connection of Node's own client; `/length` is to answer how long the body was. */
export function startGoodClient(port: number): GoodClient {
  const session = connect(`http://127.0.0.1:${port}`);
  // Throws by itself what went wrong; here it must only not be unheard.
  session.on("error", () => {});

  const { answers, stop } = keepAsking(async (answersBefore) => {
    const length = 1 + ((answersBefore * 977) % 40_000);
    const answer = await post(session, length);
    if (answer !== `200 ${length}`) throw new Error(`a good client was told ${answer}, not 200 ${length}`);
  });
  return {
    answers,
    async stop() {
      await stop();
      session.close();
    },
  };
}

function post(session: ClientHttp2Session, length: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":method": "POST", ":path": "/length" });
    let status: number | undefined;
    let body = "";
    stream.on("response", (headers) => {
      status = headers[":status"];
    });
    stream.on("data", (chunk) => {
      body += String(chunk);
    });
    stream.on("error", reject);
    stream.on("end", () => resolve(`${status} ${body}`));
    stream.end(Buffer.alloc(length));
  });
}
