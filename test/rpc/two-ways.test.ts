import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Decision } from "../../src/core/decision.ts";
import { storeUnavailable, TollgateError } from "../../src/core/errors.ts";
import {
  BatchCheckRequestSchema,
  CheckRequestSchema,
  ConsumePointsRequestSchema,
} from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { Flag } from "../../src/http2/frames.ts";
import { type Choices, createChoices } from "../exact/choices.ts";
import { data, headers, opening, type RawFrame, windowUpdate } from "../http2/fuzz/frame-bytes.ts";
import { type RawAnswer, rawExchange } from "../http2/fuzz/raw-exchange.ts";
import { grpcBody } from "../support/mutated-bytes.ts";
import { allowed, startTestServer, type TestServer } from "./test-server.ts";

/** SEED=7 asks the same again. */
const SEED = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const REQUESTS = 1200;
/** Their bodies are within the window of a connection, which is not waited for. */
const AT_ONCE = 15;
const SERVICE = "/tollgate.v1.AuthorizationService";

interface Asked {
  readonly fields: readonly string[];
  readonly body: Buffer;
}

let ours: TestServer;
let nodes: TestServer;
let tokens: readonly string[];

beforeAll(async () => {
  const core = (input: { requestId: string | undefined }): Decision => {
    if (input.requestId === "denied") return allowed({ allowed: false, reason: "KEY_REVOKED" as never });
    if (input.requestId === "failed") throw storeUnavailable("postgres", undefined);
    if (input.requestId === "own-fault") throw new Error("a fault of the core's own");
    if (input.requestId === "limited") {
      throw new TollgateError("resource_exhausted", "Too much.", { reason: "OVERLOADED" });
    }
    return allowed();
  };
  const options = {
    authorizer: {
      check: async (input: never) => core(input),
      consume: async (input: never) => core(input),
    },
  };
  ours = await startTestServer(options);
  nodes = await startTestServer({ ...options, engine: "node" });
  tokens = [ours.adminToken];
});
afterAll(() => Promise.all([ours.stop(), nodes.stop()]));

function randomAsked(choices: Choices, index: number): Asked {
  const method = choices.oneOf(["Check", "Check", "Check", "BatchCheck", "ConsumePoints"]);
  const fields = [
    ":method",
    "POST",
    ":scheme",
    "http",
    ":path",
    `${SERVICE}/${method}`,
    ":authority",
    "127.0.0.1",
  ];
  const types = ["application/grpc", "application/grpc", "application/grpc", "application/grpc+proto"];
  fields.push("content-type", choices.oneOf(types), "x-request-id", `two-ways-${index}`);
  if (choices.chance(0.9)) fields.push("te", "trailers");
  fields.push(...randomAuthorization(choices));
  if (choices.chance(0.2)) {
    fields.push("grpc-timeout", choices.oneOf(["10S", "500H", "99999999u", "1x", "", "-1S", "999999999S"]));
  }
  const encoding = choices.chance(0.7) ? "" : choices.oneOf(["identity", "gzip", "br", "unknown"]);
  if (encoding !== "") fields.push("grpc-encoding", encoding);
  if (choices.chance(0.3))
    fields.push("grpc-accept-encoding", choices.oneOf(["gzip", "identity", "gzip, br", "x"]));
  if (choices.chance(0.1)) fields.push("x-odd-bin", choices.oneOf(["AAEC", "not base64!", ""]));
  if (choices.chance(0.1)) fields.push("user-agent", "grpc-test/1", "x-twice", "1", "x-twice", "2");
  return { fields, body: randomBody(choices, { method, encoding }) };
}

function randomAuthorization(choices: Choices): string[] {
  const [token] = tokens as [string];
  const good = `Bearer ${token}`;
  const value = choices.oneOf([
    good,
    good,
    good,
    good,
    good,
    good,
    "",
    "Basic eDp5",
    "Bearer x",
    `bearer ${token}`,
    token,
  ]);
  const values = choices.oneOf([
    [value],
    [value],
    [value],
    [value],
    [],
    [value, value],
    [value, "Bearer x"],
    ["Bearer x", value],
  ]);
  return values.flatMap((each) => ["authorization", each]);
}

function randomMessage(choices: Choices, method: string): Uint8Array {
  const check = () =>
    create(CheckRequestSchema, {
      target: {
        case: "permission",
        value: choices.chance(0.9) ? "items.read" : choices.oneOf(["", "x".repeat(300)]),
      },
      api: choices.chance(0.9) ? "retrac" : choices.oneOf(["", "\u00e9"]),
      key: choices.oneOf(["", "retrac_secret"]),
      workspaceId: choices.chance(0.9) ? "w1" : "w".repeat(500),
      requestId: choices.chance(0.7) ? "" : choices.oneOf(["denied", "failed", "limited", "own-fault"]),
      explain: choices.chance(0.2),
    });
  if (method === "Check") return toBinary(CheckRequestSchema, check());
  if (method === "BatchCheck") {
    const few = Array.from({ length: choices.below(4) }, check);
    const many = Array.from({ length: 300 }, () =>
      create(CheckRequestSchema, { target: { case: "permission", value: "a" } }),
    );
    const checks = choices.chance(0.1) ? many : few;
    return toBinary(BatchCheckRequestSchema, create(BatchCheckRequestSchema, { checks }));
  }
  const { api, requestId } = check();
  const consume = create(ConsumePointsRequestSchema, {
    api,
    subject: { case: "key", value: "retrac_secret" },
    requestId,
    points: choices.below(3),
  });
  return toBinary(ConsumePointsRequestSchema, consume);
}

function randomBody(choices: Choices, of: { method: string; encoding: string }): Buffer {
  const message = randomMessage(choices, of.method);
  const whole = grpcBody(message);
  if (choices.chance(of.encoding === "gzip" ? 0.6 : 0.05)) {
    const packed = grpcBody(choices.chance(0.9) ? gzipSync(message) : message);
    packed[0] = 1;
    return packed;
  }
  switch (choices.below(16)) {
    case 0:
      return Buffer.concat([whole, whole]);
    case 1:
      return Buffer.alloc(0);
    case 2:
      return whole.subarray(0, choices.below(whole.length));
    case 3:
      return grpcBody(Uint8Array.from({ length: choices.below(30) }, () => choices.below(256)));
    case 4:
      return Buffer.concat([whole, Buffer.from([0])]);
    case 5: {
      const changed = Buffer.from(whole);
      changed[choices.below(changed.length)] = choices.below(256);
      // A length of megabytes would only be waited for.
      changed[1] = 0;
      return changed;
    }
    default:
      return whole;
  }
}

/** Several at once on one connection; what each is told, in order. */
async function ask(server: TestServer, asked: readonly Asked[], choices: Choices): Promise<unknown[]> {
  const frames: RawFrame[] = [windowUpdate(0, 2 ** 30)];
  asked.forEach(({ fields, body }, index) => {
    const streamId = 2 * index + 1;
    frames.push(headers(streamId, fields));
    const cut = choices.chance(0.3) ? choices.below(body.length + 1) : 0;
    if (cut > 0) frames.push(data(streamId, body.subarray(0, cut)));
    frames.push(data(streamId, body.subarray(cut), Flag.END_STREAM));
  });
  const streamIds = asked.map((_, index) => 2 * index + 1);
  const { port } = server.address as { port: number };
  const { answers, goaways } = await rawExchange({ port, pieces: [opening(...frames)], streamIds, pings: 0 });
  expect(goaways).toEqual([]);
  return streamIds.map((id) => told(answers.get(id) as RawAnswer));
}

/** Node's engine tells the date, and Connect how it would compress. */
const PASSED_OVER = new Set(["date", "grpc-encoding", "grpc-accept-encoding"]);

/** What a client is told: status and fields in any order, the body, the trailers. */
function told({ blocks, body, resetCode }: RawAnswer): unknown {
  const pairs = (fields: readonly string[]) =>
    fields
      .flatMap((name, at) => (at % 2 === 0 && !PASSED_OVER.has(name) ? [`${name}: ${fields[at + 1]}`] : []))
      .sort();
  return { blocks: blocks.map(pairs), body: Buffer.concat(body).toString("hex"), resetCode };
}

/** Connect's handlers are asked instead of the bytes-to-bytes way. */
function throughConnect({ fields, body }: Asked): Asked {
  return { fields: fields.map((field) => field.replace(/^application\/grpc/, "Application/grpc")), body };
}

test(`gRPC requests by chance are answered alike on each way in (SEED=${SEED})`, {
  timeout: 60_000,
}, async () => {
  const choices = createChoices(SEED, 0);
  let passed = 0;
  for (let done = 0; done < REQUESTS; ) {
    const asked = Array.from({ length: Math.min(AT_ONCE, REQUESTS - done) }, (_, index) =>
      randomAsked(choices, done + index),
    );
    done += asked.length;
    const plain = await ask(ours, asked, choices);
    const byNode = await ask(nodes, asked, choices);
    const byConnect = await ask(ours, asked.map(throughConnect), choices);
    for (const [index, each] of asked.entries()) {
      const name = `${JSON.stringify(each.fields)} ${each.body.toString("hex").slice(0, 200)}`;
      expect(plain[index], name).toEqual(byNode[index]);
      expect(plain[index], name).toEqual(byConnect[index]);
      if (JSON.stringify(plain[index]).includes("grpc-status: 0")) passed++;
    }
  }
  // All kinds are reached, or this would prove little.
  expect(passed).toBeGreaterThan(REQUESTS / 20);
});

test.each([
  ["grpc-timeout", "10S"],
  ["grpc-encoding", "identity"],
])("a %s that is there twice is refused on each way in", async (name, value) => {
  const choices = createChoices(1, 0);
  const fields = [
    ":method",
    "POST",
    ":scheme",
    "http",
    ":path",
    `${SERVICE}/Check`,
    ":authority",
    "127.0.0.1",
  ];
  fields.push(
    "content-type",
    "application/grpc",
    "authorization",
    `Bearer ${tokens[0]}`,
    "x-request-id",
    "twice",
  );
  fields.push(name, value, name, value);
  const asked = [{ fields, body: grpcBody(randomMessage(choices, "Check")) }];
  const [plain] = await ask(ours, asked, choices);
  const [byNode] = await ask(nodes, asked, choices);
  expect(JSON.stringify(byNode)).toContain(`${value}, ${value}`);
  expect(plain).toEqual(byNode);
});
