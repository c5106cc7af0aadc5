import { readdir, readFile } from "node:fs/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { type ErrorCode, TollgateError } from "../../src/core/errors.ts";
import { BadRequestSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { AuthorizationService } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { reasonOf, toConnectError, withinField } from "../../src/rpc/errors.ts";
import { respellGrpcMessage } from "../../src/rpc/grpc-message.ts";
import { codeName } from "../../src/rpc/request-log.ts";
import { inRepository } from "../support/repository.ts";
import { bearer, failureFrom, postJson, protocols } from "./clients.ts";
import { startTestServer } from "./test-server.ts";

/** HTTP statuses as Connect's protocol has them. */
const codes: Record<ErrorCode, [Code, number]> = {
  invalid_argument: [Code.InvalidArgument, 400],
  unauthenticated: [Code.Unauthenticated, 401],
  permission_denied: [Code.PermissionDenied, 403],
  not_found: [Code.NotFound, 404],
  already_exists: [Code.AlreadyExists, 409],
  failed_precondition: [Code.FailedPrecondition, 400],
  aborted: [Code.Aborted, 409],
  resource_exhausted: [Code.ResourceExhausted, 429],
  deadline_exceeded: [Code.DeadlineExceeded, 504],
  unavailable: [Code.Unavailable, 503],
  internal: [Code.Internal, 500],
};

test.each(Object.entries(codes))("%s has its gRPC code, its HTTP status and its name", async (code, row) => {
  const [connectCode, httpStatus] = row;
  const thrown = new TollgateError(code as ErrorCode, "No.", { reason: "WHY", metadata: { a: "b" } });
  const server = await startTestServer({
    authorizer: { check: () => Promise.reject(thrown) },
    keys: { get: () => Promise.reject(thrown) },
  });
  const headers = bearer(server.adminToken);
  for (const call of Object.values(protocols)) {
    for (const [method, request] of [
      [AuthorizationService.method.check, { permission: "x" }],
      [AuthorizationService.method.getKey, { keyId: "key_1" }],
    ] as const) {
      expect(await failureFrom(call(server, method, request, headers))).toEqual({
        code,
        message: "No.",
        reason: "WHY",
        domain: "tollgate.v1",
        metadata: { a: "b" },
        violations: [],
      });
    }
  }
  const path = "tollgate.v1.AuthorizationService/GetKey";
  expect((await postJson(server, path, '{"keyId":"key_1"}', headers)).status).toBe(httpStatus);
  expect(codeName(connectCode)).toBe(code);
  await server.stop();
});

test.each([["a string"], [undefined], [null], [{ secret: "s" }], [new RangeError("s")]])(
  "what is thrown and is no TollgateError (%s) tells nothing, and stays the cause",
  (thrown) => {
    const error = toConnectError(thrown, "r1");
    expect([error.code, error.rawMessage, reasonOf(error)]).toEqual([
      Code.Internal,
      "An internal error; the log has it by the request id.",
      "INTERNAL",
    ]);
    expect(error.cause).toBe(thrown);
  },
);

test("a ConnectError is passed on as it is", () => {
  const error = new ConnectError("x", Code.NotFound);
  expect(toConnectError(error, "r1")).toBe(error);
  expect(withinField(error, "checks[0]")).toBe(error);
});

test("an error's text and violations are bounded, and are never cut within a character", () => {
  const violations = Array.from({ length: 50 }, (_, index) => ({
    field: `f[${index}]`,
    description: `${"d".repeat(198)}😀 and more`,
  }));
  const error = toConnectError(
    new TollgateError("invalid_argument", `${"m".repeat(998)}😀 and more`, { reason: "X", violations }),
    "r1",
  );
  expect(error.rawMessage).toBe(`${"m".repeat(998)}…`);
  const [badRequest] = error.findDetails(BadRequestSchema);
  expect(badRequest?.fieldViolations).toHaveLength(20);
  expect(badRequest?.fieldViolations[0]?.description).toBe(`${"d".repeat(198)}…`);
});

test.each([
  ["plain: it stays; so?", "plain: it stays; so?"],
  ["100%", "100%25"],
  ["é – 😀\n", "%C3%A9 %E2%80%93 %F0%9F%98%80%0A"],
])("grpc-message %j is spelled %j", (text, spelled) => {
  const trailer = new Headers({ "grpc-message": encodeURIComponent(text) });
  respellGrpcMessage(trailer);
  expect(trailer.get("grpc-message")).toBe(spelled);
});

async function reasonsIn(folders: readonly string[]): Promise<Set<string>> {
  const reasons = new Set<string>();
  for (const folder of folders) {
    for (const file of await readdir(inRepository("src", folder))) {
      const source = await readFile(inRepository("src", folder, file), "utf8");
      for (const [, reason] of source.matchAll(/reason: "([A-Z_]+)"/g)) reasons.add(reason as string);
    }
  }
  return reasons;
}

test("docs/errors.md lists every reason that the core and the wire give, and none that nobody gives", async () => {
  const page = await readFile(inRepository("docs/errors.md"), "utf8");
  const rows = page.split("\n").filter((line) => /^\| [A-Z_]+ \|/.test(line));
  const listed = rows.flatMap((row) => row.split("|")[2]?.match(/[A-Z][A-Z_]{3,}/g) ?? []);
  expect(rows.length).toBeGreaterThan(20);
  expect([...(await reasonsIn(["core", "rpc"]))].filter((reason) => !listed.includes(reason))).toEqual([]);
  const refusals = await readFile(inRepository("docs/reasons.md"), "utf8");
  const untold = [...(await reasonsIn(["proxy"]))].filter(
    (reason) => !listed.includes(reason) && !refusals.includes(`\`${reason}\``),
  );
  expect(untold).toEqual([]);
  const folders = ["core", "rpc", "proxy", "postgres", "embedded", "redis", "points", "replica"];
  const given = await reasonsIn(folders);
  expect(listed.filter((reason) => !given.has(reason))).toEqual([]);
});
