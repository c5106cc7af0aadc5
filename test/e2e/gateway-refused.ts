import { describe, expect, it } from "vitest";
import { type RawAnswer, sendRaw, valuesOf } from "../support/gateway-client.ts";
import type { GatewayWorld } from "../support/gateway-world.ts";
import { createKey, succeed } from "../support/json-api.ts";
import { gatewayRequests } from "./gateway-requests.ts";

export function describeRefused(name: string, world: () => GatewayWorld): void {
  const { bearer, retool, withKey } = gatewayRequests(world);

  describe(`${name}: what is refused`, () => {
    it("401 without a key and with one that is not valid", async () => {
      expect(told(await retool("GET /api/v2/users"))).toEqual(
        refusal(401, { title: "Unauthorized", detail: "An API key is required.", reason: "KEY_MISSING" }, [
          'Bearer realm="retool"',
        ]),
      );
      const unknown = `${world().users.secret.slice(0, -1)}${world().users.secret.endsWith("A") ? "B" : "A"}`;
      for (const secret of ["retool_bad", unknown]) {
        const answer = await retool("GET /api/v2/users", { headers: [bearer(secret)] });
        expect(answer.status).toBe(401);
        expect(valuesOf(answer, "www-authenticate")).toEqual([
          expect.stringMatching(/^Bearer realm="retool", error="invalid_token", error_description="[^"]+"$/),
        ]);
        expect(JSON.parse(answer.body).reason).toMatch(/^KEY_(MALFORMED|UNKNOWN)$/);
      }
    });

    it("403 with the scope that it takes", async () => {
      const problem = {
        title: "Forbidden",
        detail: "The API key's scopes do not allow this.",
        reason: "SCOPE_INSUFFICIENT",
        required_scopes: ["users.write"],
      };
      expect(told(await withKey("POST /api/v2/users", { body: "x=1" }))).toEqual(
        refusal(403, problem, [
          `Bearer realm="retool", error="insufficient_scope", error_description="${problem.detail}", scope="users.write"`,
        ]),
      );
    });

    it("404 on what is no route", async () => {
      const problem = {
        title: "Not Found",
        detail: "No such method and path in this API.",
        reason: "ROUTE_UNKNOWN",
      };
      expect(told(await withKey("GET /api/v2/nothing"))).toEqual(refusal(404, problem));
    });

    it("400 where a request names no workspace and must", async () => {
      const problem = {
        title: "Bad Request",
        detail: "Name exactly one workspace in the request.",
        reason: "WORKSPACE_REQUIRED",
      };
      const answer = await sendRaw(world().retrac, {
        line: "GET /items",
        host: "api.retrac.co",
        headers: [bearer(world().fullAccess.secret)],
      });
      expect(told(answer)).toEqual(
        refusal(400, problem, [
          `Bearer realm="retrac", error="invalid_request", error_description="${problem.detail}"`,
        ]),
      );
    });

    it("429 with the time to wait, what is left, and which limit it was, until the block ends", async () => {
      const { secret } = await createKey(world().call, { workspaceId: "spent", scopes: ["users.read"] });
      await succeed(
        world().call("ConsumePoints", { api: "retool", key: secret, points: 300, mode: "MODE_RECORD" }),
      );
      for (const reason of ["POINTS_EXCEEDED", "BLOCKED"]) {
        const answer = await retool("GET /api/v2/users", { headers: [bearer(secret)] });
        expect(told(answer)).toEqual({
          status: 429,
          type: ["application/problem+json"],
          challenge: [],
          cache: ["no-store"],
          body: {
            type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
            title: "Quota exceeded",
            status: 429,
            detail: expect.any(String),
            reason,
            "violated-policies": ["points"],
          },
        });
        expect(valuesOf(answer, "retry-after")).toEqual([expect.stringMatching(/^[1-9]\d*$/)]);
        expect(valuesOf(answer, "ratelimit-policy")).toEqual(['"points";q=300;w=60']);
        expect(valuesOf(answer, "ratelimit")).toEqual([expect.stringMatching(/^"points";r=0;t=[1-9]\d*$/)]);
      }
    });
  });
}

/** All that a refusal tells, but for the points' state, which moves. */
const told = (answer: RawAnswer) => ({
  status: answer.status,
  type: valuesOf(answer, "content-type"),
  challenge: valuesOf(answer, "www-authenticate"),
  cache: valuesOf(answer, "cache-control"),
  body: JSON.parse(answer.body),
});
const refusal = (status: number, problem: object, challenge: readonly string[] = []) => ({
  status,
  type: ["application/problem+json"],
  challenge,
  cache: ["no-store"],
  body: { type: "about:blank", status, ...problem },
});
