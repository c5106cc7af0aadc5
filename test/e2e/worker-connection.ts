import { Agent, type IncomingMessage, request } from "node:http";
import type { JsonAnswer } from "../support/json-api.ts";

/** One HTTP/1.1 connection, and so one worker's, for as long as that lives. */
export interface WorkerConnection {
  /** Rejects where the connection breaks. */
  ask(method: string, message: object): Promise<JsonAnswer>;
  /** Settles when the server has read all of a request but its message; `finish` sends that. */
  begin(method: string, message: object): Promise<{ finish(): Promise<JsonAnswer> }>;
  close(): void;
}

export function connectToWorker(server: { url: string; adminToken: string }): WorkerConnection {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const { hostname, port } = new URL(server.url);
  const authorization = `Bearer ${server.adminToken}`;

  function post(method: string, headers: Record<string, string> = {}) {
    const path = `/tollgate.v1.${method.includes("/") ? method : `AuthorizationService/${method}`}`;
    const fields = { authorization, "content-type": "application/json", ...headers };
    const sent = request({ agent, hostname, port, path, method: "POST", headers: fields });
    const answer = new Promise<JsonAnswer>((resolve, reject) => {
      sent.once("error", reject);
      sent.once("response", (response) => void readAnswer(response).then(resolve, reject));
    });
    return { sent, answer };
  }

  return {
    ask(method, message) {
      const { sent, answer } = post(method);
      sent.end(JSON.stringify(message));
      return answer;
    },
    async begin(method, message) {
      const body = JSON.stringify(message);
      const { sent, answer } = post(method, {
        expect: "100-continue",
        "content-length": String(Buffer.byteLength(body)),
      });
      await Promise.race([new Promise((resolve) => sent.once("continue", resolve)), answer]);
      return {
        finish() {
          sent.end(body);
          return answer;
        },
      };
    },
    close: () => agent.destroy(),
  };
}

async function readAnswer(response: IncomingMessage): Promise<JsonAnswer> {
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk;
  return { status: response.statusCode ?? 0, body: JSON.parse(text) };
}
