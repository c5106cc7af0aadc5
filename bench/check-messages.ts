import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { CheckRequestSchema } from "../src/gen/tollgate/v1/authorization_service_pb.ts";
import type { BenchKey } from "./keys.ts";

export const checkPath = "/tollgate.v1.AuthorizationService/Check";

/** What is asked for. */
type Target = NonNullable<MessageInitShape<typeof CheckRequestSchema>["target"]>;

/** One Check of Retrac a key, in base64; `targetOf` the key of that number. */
export function checkMessages(keys: readonly BenchKey[], targetOf: (number: number) => Target): string[] {
  return keys.map(({ secret }, number) => {
    const request = create(CheckRequestSchema, { api: "retrac", key: secret, target: targetOf(number) });
    return Buffer.from(toBinary(CheckRequestSchema, request)).toString("base64");
  });
}
