// Started by run.ts as a process of its own, so that those who are timed wait for the server and not for this: asks
// FLOOD_URL for unknown keys, as fast as batches carry them, until SIGTERM; then prints how many.
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { newSecret } from "../../src/core/secret.ts";
import { AuthorizationService } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { checkOf } from "./check-of.ts";

/** Keys in a BatchCheck. */
const BATCH = 100;
/** BatchChecks that are under way at once. */
const FLOODERS = 4;

const { FLOOD_URL: baseUrl = "", FLOOD_TOKEN: token = "" } = process.env;
const client = createClient(AuthorizationService, createGrpcTransport({ baseUrl }));
const headers = { authorization: `Bearer ${token}` };
let isOver = false;
process.once("SIGTERM", () => {
  isOver = true;
});

async function flood(): Promise<number> {
  let asked = 0;
  while (!isOver) {
    const checks = Array.from({ length: BATCH }, () => checkOf(newSecret("revocation_")));
    // Refused as a whole where too many look-ups are under way: that is the bound.
    await client.batchCheck({ checks }, { headers }).catch(() => {});
    asked += checks.length;
  }
  return asked;
}

const floods = Array.from({ length: FLOODERS }, flood);
process.stdout.write("flooding\n");
const asked = (await Promise.all(floods)).reduce((sum, count) => sum + count, 0);
process.stdout.write(`asked for ${asked}\n`, () => process.exit());
