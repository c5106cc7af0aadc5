import { describe, expect, it } from "vitest";
import { sendRaw, valuesOf } from "../support/gateway-client.ts";
import type { GatewayWorld } from "../support/gateway-world.ts";
import { createKey } from "../support/json-api.ts";
import type { GatewayExample } from "./gateway-example.ts";
import { gatewayRequests } from "./gateway-requests.ts";
import { seenBy } from "./gateway-seen.ts";

/** Two fields, of a request that was admitted. */
const POINTS = /^"points";q=300;w=60 "points";r=\d+;t=\d+$/;

export function describeAdmitted(example: GatewayExample, world: () => GatewayWorld): void {
  const { bearer, retool, withKey } = gatewayRequests(world);

  describe(`${example.name}: what is admitted`, () => {
    it("reaches the API as who it is, without its key, and tells what points are left", async () => {
      // An odd spelling of what is admitted arrives as it is.
      const path = "/api/v2/users/j%C3%BCrg%20(m)?sort=name&b=%20c&c";
      const answer = await withKey(`GET ${path}`, { headers: ["X-Mine: kept"] });
      expect(answer.status).toBe(200);
      expect(valuesOf(answer, "content-type")).toEqual(["application/json"]);
      const points = [...valuesOf(answer, "ratelimit-policy"), ...valuesOf(answer, "ratelimit")].join(" ");
      expect(points).toMatch(example.pointsOnAdmitted ? POINTS : /^$/);
      const seen = seenBy(answer);
      expect(seen).toMatchObject({ method: "GET", url: path, bodyBytes: 0 });
      expect(seen.identity).toEqual({
        "x-tollgate-key-id": [world().users.id],
        "x-tollgate-workspace": ["w1"],
        "x-tollgate-permissions": [expect.stringContaining("users.read")],
        "x-tollgate-locations": ["*"],
      });
      expect(valuesOf(seen, "x-mine")).toEqual(["kept"]);
      expect(valuesOf(seen, "authorization")).toEqual([]);
      expect(answer.body).not.toContain(world().users.secret);
      expect(answer.body).not.toContain(world().token);
    });

    it("has the owner's name and role where keys act as their owners, over TLS", async () => {
      const answer = await sendRaw(world().retrac, {
        line: "GET /items?workspaceId=w2",
        host: "api.retrac.co",
        headers: [bearer(world().fullAccess.secret)],
      });
      expect(seenBy(answer).identity).toMatchObject({
        "x-tollgate-user": ["ann"],
        "x-tollgate-workspace": ["w2"],
        "x-tollgate-role": ["owner"],
      });
    });

    it("may have a body, which reaches the API whole and Tollgate not at all", async () => {
      const { secret } = await createKey(world().call, { workspaceId: "w1", scopes: ["users.write"] });
      const body = "x".repeat(200_000);
      const chunked = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
      // Again and again: what is left of a body on a connection to Tollgate would spoil the next question.
      for (let round = 0; round < 3; round++) {
        const plain = await retool("POST /api/v2/users", { headers: [bearer(secret)], body });
        expect(seenBy(plain)).toMatchObject({ method: "POST", bodyBytes: body.length });
        const headers = [bearer(secret), "Transfer-Encoding: chunked"];
        expect(seenBy(await retool("PUT /api/v2/users/7", { headers, body: chunked }))).toMatchObject({
          method: "PUT",
          bodyBytes: body.length,
        });
        expect((await retool("POST /api/v2/groups", { headers, body: chunked })).status).toBe(403);
        expect((await retool("GET /api/v2/users", { headers: [bearer(secret)], body })).status).toBe(200);
      }
    });

    it("may be a HEAD, which follows GET", async () => {
      const admitted = await withKey("HEAD /api/v2/users");
      expect([admitted.status, admitted.body]).toEqual([200, ""]);
      const refused = await withKey("HEAD /api/v2/groups");
      expect([refused.status, refused.body]).toEqual([403, ""]);
    });

    it("needs no key on public routes and for preflights, and then has no identity", async () => {
      const open = await sendRaw(world().shop, { line: "GET /status", host: "shop.example" });
      expect(seenBy(open).identity).toEqual({});
      const preflight = ["Origin: https://app.example", "Access-Control-Request-Method: GET"];
      expect(seenBy(await retool("OPTIONS /api/v2/users", { headers: preflight }))).toMatchObject({
        method: "OPTIONS",
        identity: {},
      });
      expect((await retool("OPTIONS /api/v2/users")).status).not.toBe(200);
      expect((await retool("OPTIONS /api/v2/nothing", { headers: preflight })).status).not.toBe(200);
    });
  });
}
