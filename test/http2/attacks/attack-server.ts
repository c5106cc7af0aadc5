import type { Attack } from "./attacks.ts";
import { connectRaw } from "./raw-client.ts";

/** How an attack's connection ended, and how many frames had been sent by then. */
export interface Outcome {
  readonly code: number | undefined;
  readonly frames: number;
}

/** Waits this long for a connection to end, above the times that the server grants. */
const END_MS = 15_000;

/** Plays the attack on a connection of its own. Throws where the server lets it live. */
export async function attackServer(port: number, attack: Attack): Promise<Outcome> {
  const client = await connectRaw({ port, ...(attack.hello === undefined ? {} : { hello: attack.hello }) });
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${attack.name}: not ended after ${client.sent} frames`)),
      END_MS,
    );
  });
  try {
    await attack.run(client);
    const { code } = await Promise.race([client.ended, tooLong]);
    return { code, frames: client.sent };
  } finally {
    clearTimeout(timer);
    await client.close();
  }
}
