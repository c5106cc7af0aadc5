import { type ClientHttp2Session, connect } from "node:http2";

/** Asks one thing after another all the while, and looks at each answer. */
export interface GoodClient {
  /** Answers so far. Throws what was wrong with one. */
  answers(): number;
  /** Ends it. Throws what was wrong with an answer. */
  stop(): Promise<void>;
}

/** On one connection of Node's own client; `/length` is to answer how long the body was. */
export function startGoodClient(port: number): GoodClient {
  const session = connect(`http://127.0.0.1:${port}`);
  let isOver = false;
  let answers = 0;
  // Throws by itself what went wrong; here it must only not be unheard.
  session.on("error", () => {});

  async function ask(): Promise<void> {
    while (!isOver) {
      const length = 1 + ((answers * 977) % 40_000);
      const answer = await post(session, length);
      if (answer !== `200 ${length}`) throw new Error(`a good client was told ${answer}, not 200 ${length}`);
      answers++;
    }
  }
  const asking = ask();
  let failure: unknown;
  asking.catch((error: unknown) => {
    failure = error;
  });
  return {
    answers() {
      if (failure !== undefined) throw failure;
      return answers;
    },
    async stop() {
      isOver = true;
      await asking;
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
