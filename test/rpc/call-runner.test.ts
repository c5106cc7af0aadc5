import { Code, type ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { AuthorizationService } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { createCall } from "../../src/rpc/call.ts";
import { createCallRunner } from "../../src/rpc/call-runner.ts";
import { admin } from "../core/world.ts";

/** A runner whose log cannot be written, as on a full disk. */
function startRunner() {
  const full = () => {
    throw new Error("ENOSPC: no space left on device, write");
  };
  return createCallRunner({
    callerTokens: { present: () => ({ digest: "", isPlausible: true }), authenticate: () => admin },
    log: { isLevelEnabled: () => true, debug: full, info: full, warn: full, error: full },
    onFinished: () => {},
    maxInFlight: 1,
  });
}

const checkCall = () =>
  createCall({
    method: AuthorizationService.method.check,
    message: {},
    header: (name) => (name === "authorization" ? "Bearer x" : null),
  });

describe("a call of which the log cannot be written", () => {
  test.each([
    ["that is answered at once", () => "answer"],
    ["that is answered later", () => Promise.resolve("answer")],
    ["that fails at once", () => Promise.reject(new Error("boom"))],
    [
      "that throws",
      () => {
        throw new Error("boom");
      },
    ],
  ])("%s ends as an error, and gives its place back", async (_, work: () => string | Promise<string>) => {
    const runner = startRunner();
    const failure = await runner.run(checkCall(), work).catch((error: ConnectError) => error);
    expect(failure).toMatchObject({ code: Code.Internal });
    expect(runner.inFlight()).toBe(0);
  });

  test("that was refused before it was read is told so in spite of it", () => {
    expect(startRunner().failed(checkCall(), new Error("boom"))).toMatchObject({ code: Code.Internal });
  });
});
