import { describe, expect, it } from "vitest";
import { type RawAnswer, sendRaw } from "../support/gateway-client.ts";
import type { GatewayWorld } from "../support/gateway-world.ts";
import { gatewayRequests } from "./gateway-requests.ts";
import { outcomeOf, seenBy } from "./gateway-seen.ts";

/** What clients could try, over raw sockets. `users` may read users and nothing else, in workspace w1. */
export function describeAttacks(name: string, world: () => GatewayWorld): void {
  const { retool } = gatewayRequests(world);
  const bearer = () => `Authorization: Bearer ${world().users.secret}`;

  describe(`${name}: attacks`, () => {
    const NAMES = ["Key-Id", "User", "Workspace", "Role", "Permissions", "Locations", "Degraded", "Token"];
    const SPELLINGS = [
      (field: string) => `X-Tollgate-${field}`,
      (field: string) => `x-tollgate-${field.toLowerCase()}`,
      (field: string) => `X-TOLLGATE-${field.toUpperCase()}`,
      (field: string) => `X_Tollgate_${field.replaceAll("-", "_")}`,
      (field: string) => `x-tollgate_${field.toLowerCase().replaceAll("-", "_")}`,
      (field: string) => `X_TOLLGATE-${field.toUpperCase()}`,
      (field: string) => `X.Tollgate.${field.replaceAll("-", ".")}`,
      (field: string) => `X-Tollgate!${field}`,
    ];
    const FORGED = NAMES.flatMap((field) => SPELLINGS.map((spell) => `${spell(field)}: forged`));

    it("no identity that a client sends reaches the API, with a key or on a public route", async () => {
      const twice = [...FORGED, ...FORGED];
      const own = {
        "x-tollgate-key-id": [world().users.id],
        "x-tollgate-workspace": ["w1"],
        "x-tollgate-permissions": [expect.stringContaining("users.read")],
        "x-tollgate-locations": ["*"],
      };
      for (const headers of [
        [bearer(), ...twice],
        [...twice, bearer()],
      ]) {
        expect(seenBy(await retool("GET /api/v2/users", { headers })).identity).toEqual(own);
      }
      const open = await sendRaw(world().shop, { line: "GET /status", host: "shop.example", headers: twice });
      expect(seenBy(open).identity).toEqual({});
      expect(open.body).not.toContain("forged");
    });

    it("no client takes away what Tollgate says of him by naming it in Connection", async () => {
      const named = NAMES.map((field) => `X-Tollgate-${field}`).join(", ");
      const forwarded = "X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-Uri";
      for (const connection of [`close, ${named}`, `close, ${forwarded}, X-Forwarded-Method`]) {
        const answer = await retool("GET /api/v2/users", {
          headers: [bearer(), `Connection: ${connection}`],
        });
        expect(Object.keys(seenBy(answer).identity).sort()).toEqual([
          "x-tollgate-key-id",
          "x-tollgate-locations",
          "x-tollgate-permissions",
          "x-tollgate-workspace",
        ]);
      }
      const withoutKey = await retool("GET /api/v2/users", {
        headers: [bearer(), "Connection: close, Authorization"],
      });
      expect(outcomeOf(withoutKey)).toMatch(/^(refused|\/api\/v2\/users)$/);
    });

    it("a key counts only in one Authorization header of the right form", async () => {
      const { secret } = world().users;
      const refused: Record<string, readonly string[]> = {
        "two, both good": [bearer(), bearer()],
        "two, one bad": [bearer(), "Authorization: Bearer retool_bad"],
        "two, the other first": ["authorization: Basic YTpi", bearer()],
        "a list": [`Authorization: Bearer ${secret}, Bearer ${secret}`],
        "a tab between": [`Authorization: Bearer\t${secret}`],
        "another scheme": [`Authorization: Token ${secret}`],
        "the key alone": [`Authorization: ${secret}`],
        "more after it": [`Authorization: Bearer ${secret} x`],
        underscore: [`Proxy_Authorization: Bearer ${secret}`, `X_Authorization: Bearer ${secret}`],
        "a cookie": [`Cookie: Authorization=Bearer ${secret}; token=${secret}; session=${secret}`],
        "another header": [`X-Api-Key: ${secret}`, `Proxy-Authorization: Bearer ${secret}`],
      };
      for (const [how, headers] of Object.entries(refused)) {
        expect([how, (await retool("GET /api/v2/users", { headers })).status]).not.toEqual([how, 200]);
      }
      for (const parameter of ["access_token", "key", "token", "Authorization"]) {
        expect((await retool(`GET /api/v2/users?${parameter}=${secret}`)).status).toBe(401);
      }
      const admitted = [
        `authorization: Bearer ${secret}`,
        `AUTHORIZATION: bearer ${secret}`,
        `Authorization:\t BEARER  ${secret} \t`,
      ];
      for (const header of admitted) {
        expect(seenBy(await retool("GET /api/v2/users", { headers: [header] })).url).toBe("/api/v2/users");
      }
    });

    it("a method counts as it reaches the API", async () => {
      const headers = [
        bearer(),
        "X-HTTP-Method: GET",
        "X-Forwarded-Method: GET",
        "X-Http-Method-Override: GET",
      ];
      for (const method of ["DELETE", "PATCH", "get", "Get", "POST", "FOO", "TRACE", "CONNECT"]) {
        const answer = await retool(`${method} /api/v2/users/7`, { headers });
        expect([method, outcomeOf(answer)]).toEqual([method, "refused"]);
      }
      expect((await retool("CONNECT 127.0.0.1:80", { headers })).status).not.toBe(200);
    });

    it("a workspace is named once, in the query, as the API reads it", async () => {
      const ask = (query: string, body = "") =>
        sendRaw(world().retrac, {
          line: `GET /items${query}`,
          host: "api.retrac.co",
          headers: [`Authorization: Bearer ${world().fullAccess.secret}`],
          body,
        });
      const admitted = await ask("?workspaceId=w%31");
      expect(seenBy(admitted)).toMatchObject({
        url: "/items?workspaceId=w%31",
        identity: { "x-tollgate-workspace": ["w1"] },
      });
      const refused = [
        "?workspaceId=w1&workspaceId=w2",
        "?workspaceId=w1;workspaceId=w2",
        "?workspaceId=",
        "?workspaceId",
        "?WorkspaceId=w1",
        "?workspaceId=w1&workspace%49d=w2",
        "?workspaceId=w1&workspaceId[]=w2",
        "?workspaceId=w1%00",
        "?workspaceId=w1%",
        "?workspaceId=%zz&workspaceId=w1",
        "?%zz=1&workspaceid=w2&workspaceId=w1",
        "#?workspaceId=w1",
      ];
      for (const query of refused) {
        expect([query, (await ask(query)).status]).not.toEqual([query, 200]);
      }
      expect((await ask("", "workspaceId=w1")).status).toBe(400);
      expect((await ask("?workspaceId=w3")).status).toBe(403);
    });

    it("64 KB of headers hide nothing", async () => {
      const filler = Array.from({ length: 64 }, (_, index) => `X-Filler-${index}: ${"f".repeat(1000)}`);
      const many = Array.from({ length: 3000 }, (_, index) => `A${index}: ${"f".repeat(8)}`);
      for (const junk of [filler, many]) {
        const alone = await retool("GET /api/v2/users", { headers: [...junk, bearer(), ...FORGED] });
        expect(identityOf(alone)).toMatch(/^(refused|w1)$/);
        const second = await retool("GET /api/v2/users", {
          headers: [bearer(), ...junk, "Authorization: Bearer retool_bad"],
        });
        expect(identityOf(second)).toBe("refused");
        const noKey = await retool("GET /api/v2/users", { headers: [...junk, ...FORGED] });
        expect(identityOf(noKey)).toBe("refused");
      }
    });

    it("a gateway's token in a client's hands changes nothing", async () => {
      for (const token of [world().token, world().tollgate.adminToken, "nonsense"]) {
        const headers = [`X-Tollgate-Token: ${token}`];
        expect((await retool("GET /api/v2/users", { headers })).status).toBe(401);
        const answer = await retool("GET /api/v2/users", { headers: [bearer(), ...headers] });
        expect(seenBy(answer).identity["x-tollgate-token"]).toBeUndefined();
      }
    });
  });
}

/** "refused", or all workspaces that reached the API as identity. */
function identityOf(answer: RawAnswer): string {
  return answer.status === 200 ? String(seenBy(answer).identity["x-tollgate-workspace"]) : "refused";
}
