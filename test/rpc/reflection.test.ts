import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { grpcJsClient } from "./clients.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

interface Answer {
  validHost: string;
  originalRequest: Record<string, unknown>;
  messageResponse: string;
  fileDescriptorResponse?: { fileDescriptorProto: Buffer[] };
  listServicesResponse?: { service: { name: string }[] };
  allExtensionNumbersResponse?: { baseTypeName: string; extensionNumber: number[] };
  errorResponse?: { errorCode: number; errorMessage: string };
}

interface Stream {
  on(event: string, listener: (value: never) => void): Stream;
  write(request: object): void;
  end(): void;
}

/** All requests on one stream, without a caller token; the answers in their order. */
function reflect(version: string, requests: object[], target = server): Promise<Answer[]> {
  const client = grpcJsClient(target, `grpc.reflection.${version}.ServerReflection`);
  const open = client["serverReflectionInfo"] as unknown as () => Stream;
  return new Promise((resolve, reject) => {
    const answers: Answer[] = [];
    const stream = open.call(client);
    stream
      .on("data", (answer: Answer) => answers.push(answer))
      .on("error", (error: Error) => {
        client.close();
        reject(error);
      })
      .on("end", () => {
        client.close();
        resolve(answers);
      });
    for (const request of requests) stream.write(request);
    stream.end();
  });
}

function filesOf(answer: Answer | undefined): string[] {
  const files = answer?.fileDescriptorResponse?.fileDescriptorProto ?? [];
  return files.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name);
}

describe.each(["v1", "v1alpha"])("%s", (version) => {
  test("lists every service that is served", async () => {
    const [answer] = await reflect(version, [{ host: "h", listServices: "*" }]);
    expect(answer?.listServicesResponse?.service.map(({ name }) => name).sort()).toEqual([
      "envoy.service.auth.v3.Authorization",
      "envoy.service.ratelimit.v3.RateLimitService",
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      "tollgate.v1.AuthorizationService",
      "tollgate.v1.CallerService",
      "tollgate.v1.DirectoryService",
      "tollgate.v1.PointsService",
      "tollgate.v1.ReplicaService",
    ]);
    expect(answer?.validHost).toBe("h");
    expect(answer?.originalRequest).toMatchObject({ host: "h", listServices: "*" });
  });

  test("answers a file by its name, and after it all that it needs", async () => {
    const [answer] = await reflect(version, [{ fileByFilename: "tollgate/v1/authorization_service.proto" }]);
    const files = filesOf(answer);
    expect(files[0]).toBe("tollgate/v1/authorization_service.proto");
    expect(files.slice(1).sort()).toEqual([
      "buf/validate/validate.proto",
      "google/protobuf/descriptor.proto",
      "google/protobuf/duration.proto",
      "google/protobuf/field_mask.proto",
      "google/protobuf/timestamp.proto",
      "tollgate/v1/decision.proto",
      "tollgate/v1/key.proto",
    ]);
  });

  test.each([
    ["a service", "tollgate.v1.AuthorizationService", "tollgate/v1/authorization_service.proto"],
    ["a method", "tollgate.v1.AuthorizationService.Check", "tollgate/v1/authorization_service.proto"],
    ["a message", "tollgate.v1.Key", "tollgate/v1/key.proto"],
    ["a nested message", "tollgate.v1.Key.MetadataEntry", "tollgate/v1/key.proto"],
    ["a field", "tollgate.v1.Key.workspace_id", "tollgate/v1/key.proto"],
    ["a oneof", "tollgate.v1.CheckRequest.target", "tollgate/v1/authorization_service.proto"],
    ["an enum", "tollgate.v1.KeyStatus", "tollgate/v1/key.proto"],
    ["an enum's value", "tollgate.v1.KEY_STATUS_ACTIVE", "tollgate/v1/key.proto"],
    ["a nested enum's value", "grpc.health.v1.HealthCheckResponse.SERVING", "grpc/health/v1/health.proto"],
    ["an extension", "buf.validate.field", "buf/validate/validate.proto"],
  ])("finds %s", async (_kind, symbol, file) => {
    const [answer] = await reflect(version, [{ fileContainingSymbol: symbol }]);
    expect(filesOf(answer)[0]).toBe(file);
  });

  test("finds extensions by what they extend", async () => {
    const extended = { containingType: "google.protobuf.FieldOptions", extensionNumber: 1159 };
    const [file, numbers, none] = await reflect(version, [
      { fileContainingExtension: extended },
      { allExtensionNumbersOfType: "google.protobuf.FieldOptions" },
      { allExtensionNumbersOfType: "tollgate.v1.Key" },
    ]);
    expect(filesOf(file)[0]).toBe("buf/validate/validate.proto");
    expect(numbers?.allExtensionNumbersResponse).toEqual({
      baseTypeName: "google.protobuf.FieldOptions",
      extensionNumber: expect.arrayContaining([1159, 1160]),
    });
    expect(none?.allExtensionNumbersResponse?.extensionNumber).toEqual([]);
  });

  test("what does not exist is NOT_FOUND within the stream, which goes on", async () => {
    const answers = await reflect(version, [
      { fileByFilename: "nothing.proto" },
      { fileContainingSymbol: "tollgate.v1.Nothing" },
      { fileContainingExtension: { containingType: "tollgate.v1.Key", extensionNumber: 1 } },
      { allExtensionNumbersOfType: "tollgate.v1.Nothing" },
      {},
      { listServices: "" },
    ]);
    expect(answers.map((answer) => answer.errorResponse?.errorCode)).toEqual([5, 5, 5, 5, 3, undefined]);
    expect(answers[5]?.listServicesResponse?.service).toHaveLength(10);
  });

  test("is not there when it is turned off", async () => {
    const closed = await startTestServer({ reflection: false });
    await expect(reflect(version, [{ listServices: "" }], closed)).rejects.toMatchObject({ code: 12 });
    await closed.stop();
  });

  test("an open stream ends when the process stops, so that it does not hold the drain", async () => {
    const own = await startTestServer();
    const client = grpcJsClient(own, `grpc.reflection.${version}.ServerReflection`);
    const stream = (client["serverReflectionInfo"] as unknown as () => Stream).call(client);
    const ended = new Promise((resolve) => stream.on("status", resolve));
    const answered = new Promise((resolve) => stream.on("data", resolve));
    stream.write({ listServices: "" });
    await answered;
    own.stopping.abort();
    const drained = own.listener.drain(600_000);
    expect(await ended).toMatchObject({ code: 0 });
    stream.end();
    client.close();
    await drained;
  });
});
