import { Mode } from "../../src/gen/tollgate/v1/decision_pb.ts";

/** Charges nothing. */
export function checkOf(key: string) {
  return {
    api: "revocation",
    key,
    target: { case: "permission" as const, value: "items.read" },
    mode: Mode.PEEK,
  };
}
