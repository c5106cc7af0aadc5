import { createHttpLoadClient, type HttpLoadTarget } from "../load/http-load-client.ts";

/** How long a filter may need to reach its service for the first time. */
const patienceMs = 10_000;

/** Asks one request after the other until it is answered 200; throws, with the last status, when none is in time. */
export async function untilServes({
  url,
  path,
  headers,
}: Pick<HttpLoadTarget, "url" | "path"> & { headers: HttpLoadTarget["headers"][number] }): Promise<void> {
  const client = await createHttpLoadClient({ url, path, headers: [headers], connections: 1 });
  const givesUpAt = performance.now() + patienceMs;
  try {
    while (true) {
      const { statuses } = await client.run({ minMs: 0, minCalls: 1, maxMs: patienceMs, maxCalls: 1 });
      if (statuses["200"] === 1) return;
      if (performance.now() > givesUpAt) throw new Error(`${url} answers ${JSON.stringify(statuses)}`);
    }
  } finally {
    client.close();
  }
}
