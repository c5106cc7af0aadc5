import { describe, expect, it } from "vitest";
import { freePort } from "../support/free-port.ts";
import { sendRaw, valuesOf } from "../support/gateway-client.ts";
import { type GatewayWorld, startStub } from "../support/gateway-world.ts";
import { gatewayRequests } from "./gateway-requests.ts";

/** What goes over the connections behind the gateway, with servers of the test's own at their ends. */
export function describeBetween(name: string, world: () => GatewayWorld): void {
  const { bearer } = gatewayRequests(world);

  describe(`${name}: between gateway, Tollgate and API`, () => {
    it("Tollgate is told what the gateway sees, by the gateway's token, whatever the client says", async () => {
      const asked: { method?: string | undefined; url?: string | undefined; headers: [string, string][] }[] =
        [];
      let bodyBytes = 0;
      const tollgate = await startStub((request, response) => {
        const { method, url, rawHeaders } = request;
        asked.push({ method, url, headers: pairs(rawHeaders) });
        request.on("data", (chunk: Buffer) => (bodyBytes += chunk.length)).on("end", () => response.end());
      });
      const api = await startStub((_, response) => response.end("from the API"));
      const gateway = await world().startGateway({ tollgatePort: tollgate.port, apiPort: api.port });
      // Whatever the start asked, to see whether the gateway serves.
      asked.length = 0;
      const answer = await sendRaw(gateway, {
        line: "POST /api/v2/users?a=%2Fb",
        headers: [
          "Authorization: Bearer mine",
          "X-Tollgate-Token: not-mine",
          "x-tollgate-token: nor-this",
          "X-Forwarded-Method: GET",
          "X-Forwarded-Uri: /api/v2/apps",
          "X-Forwarded-Host: other.example.com",
          "X-Forwarded-Proto: https",
          "X-Forwarded-For: 203.0.113.9",
          "Forwarded: for=203.0.113.9;proto=https",
          "X-Original-URL: /api/v2/apps",
          "X-Rewrite-URL: /api/v2/apps",
        ],
        body: "a body",
      });
      expect([answer.status, answer.body]).toEqual([200, "from the API"]);
      expect(asked).toHaveLength(1);
      const [question = { headers: [] }] = asked;
      expect(question.url).toBe(`/forward-auth?gateway=${name.toLowerCase()}&api=retool`);
      const named = (name: string) => valuesOf(question, name);
      expect({
        token: named("x-tollgate-token"),
        method: named("x-forwarded-method"),
        uri: named("x-forwarded-uri"),
        host: named("x-forwarded-host"),
        proto: named("x-forwarded-proto"),
        clients: named("x-forwarded-for"),
        key: named("authorization"),
        bodyBytes,
      }).toEqual({
        token: [world().token],
        method: ["POST"],
        uri: ["/api/v2/users?a=%2Fb"],
        host: ["retool.example.com"],
        proto: ["http"],
        clients: ["127.0.0.1"],
        key: ["Bearer mine"],
        bodyBytes: 0,
      });
      tollgate.server.close();
      api.server.close();
    });

    it("the API's own refusals and errors arrive as they are", async () => {
      const api = await startStub((request, response) => {
        response.writeHead(Number(request.url?.split("/").pop()), { "content-type": "text/plain" });
        response.end("the API's own");
      });
      const tollgatePort = Number(new URL(world().tollgate.url).port);
      const gateway = await world().startGateway({ tollgatePort, apiPort: api.port });
      for (const status of [401, 403, 404, 429, 500, 503]) {
        const answer = await sendRaw(gateway, {
          line: `GET /api/v2/users/${status}`,
          headers: [bearer(world().users.secret)],
        });
        expect([answer.status, answer.body]).toEqual([status, "the API's own"]);
        expect(valuesOf(answer, "www-authenticate")).toEqual([]);
      }
      api.server.close();
    });

    it("an API that is gone is a 502, and no refusal", async () => {
      const tollgatePort = Number(new URL(world().tollgate.url).port);
      const gateway = await world().startGateway({ tollgatePort, apiPort: await freePort() });
      const answer = await sendRaw(gateway, {
        line: "GET /api/v2/users",
        headers: [bearer(world().users.secret)],
      });
      expect(answer.status).toBe(502);
      expect(valuesOf(answer, "content-type")).not.toContain("application/problem+json");
    });

    it("a 403 of something that is not Tollgate admits nobody", async () => {
      const tollgate = await startStub((_, response) => response.writeHead(403).end());
      const api = await startStub((_, response) => response.end("from the API"));
      const gateway = await world().startGateway({ tollgatePort: tollgate.port, apiPort: api.port });
      const answer = await sendRaw(gateway, { line: "GET /api/v2/users" });
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.body).not.toContain("from the API");
      tollgate.server.close();
      api.server.close();
    });
  });
}

function pairs(rawHeaders: readonly string[]): [string, string][] {
  return rawHeaders.flatMap((name, index) =>
    index % 2 === 0 ? [[name, rawHeaders[index + 1] ?? ""] as [string, string]] : [],
  );
}
