import { describe, expect, it } from "vitest";
import { sendRaw } from "../support/gateway-client.ts";
import { type GatewayWorld, startStub } from "../support/gateway-world.ts";
import { gatewayRequests } from "./gateway-requests.ts";
import { outcomeOf } from "./gateway-seen.ts";

const TRICKS = [
  "/api/v2/users/../groups",
  "/api/v2/users/..",
  "/api/v2/users/./../groups",
  "/api/v2/users/%2e%2e/groups",
  "/api/v2/users/%2E%2E/groups",
  "/api/v2/users/.%2e/groups",
  "/api/v2/users/..%2fgroups",
  "/api/v2/users%2f..%2fgroups",
  "/api/v2/users%2F7",
  "/api/v2/users/..%5cgroups",
  "/api/v2/users/..\\groups",
  "/api/v2/users\\..\\groups",
  "/api/v2/users/..;/groups",
  "/api/v2/users;x=1",
  "/api/v2/users;/../groups",
  "/api/v2/groups;/users",
  "/api/v2//users",
  "//api/v2/users",
  "/api/v2/users//",
  "/api/v2/users/",
  "/api/v2//groups",
  "//groups/../api/v2/users",
  "/API/V2/users",
  "/api/v2/Users",
  "/api/v2/GROUPS",
  "/api/v2/%75sers",
  "/api/v2/%67roups",
  "/api/v2/users%3f/../groups",
  "/api/v2/users%3F",
  "/api/v2/groups%3f/users",
  "/api/v2/users%23/../groups",
  "/api/v2/users#/../groups",
  "/api/v2/users%00",
  "/api/v2/users/%00/../groups",
  "/api/v2/users%0a",
  "/api/v2/users%0d%0aX-Tollgate-Role:%20root",
  "/api/v2/users%252f..%252fgroups",
  "/api/v2/users/%c0%ae%c0%ae/groups",
  "/api/v2/users/%ff",
  "/api/v2/users/\xff",
  "/api/v2/users/%",
  "/api/v2/users/%zz",
  "/api/v2/users/7?x=/../../groups",
  "/api/v2/users?/../groups",
  "/api/v2/users/*",
  "*",
  "api/v2/users",
  "?/api/v2/users",
  "http://retool.example.com/api/v2/users",
  "http://retool.example.com/api/v2/groups",
  "http://other.example.com/api/v2/users",
  "http://retool.example.com/api/v2/users/../groups",
  "http://retool.example.com",
  "http://retool.example.com?/api/v2/users",
  "http://u:p@retool.example.com/api/v2/users",
  "https://retool.example.com/api/v2/users",
  "/http://retool.example.com/api/v2/users",
  "@127.0.0.1/api/v2/users",
  "/_tollgate",
  "/forward-auth?gateway=nginx",
  `/api/v2/users/${"a".repeat(8 * 1024 - 64)}`,
  `/api/v2/users/${"a/".repeat(4 * 1024)}`,
  `/api/v2/users/${"../".repeat(2000)}api/v2/groups`,
  `/api/v2/users?${"a=1&".repeat(1500)}`,
];

/** Gateway, Tollgate and API have to read the same path, however odd it is. The key may read users only. */
export function describePathTricks(name: string, world: () => GatewayWorld): void {
  const { withKey } = gatewayRequests(world);

  describe(`${name}: odd paths`, () => {
    it.each(TRICKS.map((path) => [path.length > 100 ? `${path.slice(0, 100)}…` : path, path]))(
      "the API never reads another route than the one that was admitted: %s",
      async (_, path) => {
        const answer = await withKey(`GET ${path}`);
        // However loosely the API reads the path: a users' path, or nothing reached it.
        expect(outcomeOf(answer)).toMatch(/^(refused|\/api\/v2\/users(\/[^/]+)?\/?)$/);
      },
    );

    it("what Tollgate is asked about is what the API gets, however odd it is", async () => {
      let asked: unknown;
      const tollgate = await startStub(({ headers }, response) => {
        const [method, uri, host] = ["method", "uri", "host"].map((part) => headers[`x-forwarded-${part}`]);
        // nginx tells of an absolute URL without a path that it has none, which is no route's path.
        asked = [method, String(uri).replace(/^\?/, "/?"), host];
        response.end();
      });
      const api = await startStub(({ method, url, headers }, response) => {
        response.end(JSON.stringify([method, url, headers.host]));
      });
      const gateway = await world().startGateway({ tollgatePort: tollgate.port, apiPort: api.port });
      const passed: unknown[] = [];
      for (const path of TRICKS) {
        const { status, body } = await sendRaw(gateway, { line: `GET ${path}` });
        if (status !== 200) continue;
        expect(JSON.parse(body)).toEqual(asked);
        passed.push(path);
      }
      expect(passed.length).toBeGreaterThan(TRICKS.length / 3);
      tollgate.server.close();
      api.server.close();
    });
  });
}
