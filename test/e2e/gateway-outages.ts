import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { type RawAnswer, sendRaw, valuesOf } from "../support/gateway-client.ts";
import type { GatewayWorld } from "../support/gateway-world.ts";
import type { GatewayExample, Outage } from "./gateway-example.ts";
import { gatewayRequests } from "./gateway-requests.ts";

/** The last of the story: when it ends, Redis and Tollgate are gone. */
export function describeOutages(example: GatewayExample, world: () => GatewayWorld): void {
  const { bearer, withKey } = gatewayRequests(world);

  describe(`${example.name}: outages`, () => {
    const outage = (answer: RawAnswer): Outage => ({
      status: answer.status,
      contentType: valuesOf(answer, "content-type"),
      body: answer.body,
    });

    it("without Redis, 503 where the policy says to deny", async () => {
      const ask = () =>
        sendRaw(world().shop, {
          line: "GET /orders",
          host: "shop.example",
          headers: [bearer(world().orders.secret)],
        });
      expect((await ask()).status).toBe(200);
      await world().redis.stop();
      const answer = await ask();
      expect(JSON.parse(answer.body)).toEqual({
        type: "about:blank",
        title: "Service Unavailable",
        status: 503,
        detail: "The rate limit cannot be checked; try again later.",
        reason: "STORE_UNAVAILABLE",
      });
      expect(answer.status).toBe(503);
      expect(valuesOf(answer, "retry-after")).toEqual(["1"]);
    });

    it.each(example.withTollgateFrozen)(
      "nobody is admitted while Tollgate does not answer",
      async (frozen) => {
        world().tollgate.process.kill("SIGSTOP");
        const answer = await withKey("GET /api/v2/users");
        world().tollgate.process.kill("SIGCONT");
        expect(outage(answer)).toEqual(frozen);
      },
    );

    it("nobody is admitted while Tollgate is gone, not even on public routes", async () => {
      await world().tollgate.kill();
      expect(outage(await withKey("GET /api/v2/users"))).toEqual(example.withoutTollgate);
      const open = await sendRaw(world().shop, { line: "GET /status", host: "shop.example" });
      expect(outage(open)).toEqual(example.withoutTollgate);
    });

    it("neither the token nor a key stands in what the gateways have logged, or on their command lines", () => {
      const secrets = [world().token, world().users.secret, world().orders.secret, world().fullAccess.secret];
      for (const { pid, output } of world().gateways) {
        const commandLine = execFileSync("ps", ["-ww", "-o", "args=", "-p", String(pid)], {
          encoding: "utf8",
        });
        expect(commandLine).toMatch(/nginx|caddy|traefik/);
        for (const secret of secrets) expect(commandLine + output()).not.toContain(secret);
      }
    });
  });
}
