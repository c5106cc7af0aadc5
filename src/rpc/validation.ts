import { create } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import { AuthorizationService } from "../gen/tollgate/v1/authorization_service_pb.ts";
import { CallerService } from "../gen/tollgate/v1/caller_service_pb.ts";
import { DirectoryService } from "../gen/tollgate/v1/directory_service_pb.ts";
import type { Call } from "./call.ts";
import { invalidFields } from "./errors.ts";

/**
 * Holds a request against the rules in the proto files. Throws INVALID_ARGUMENT, FIELD_INVALID, with a
 * violation a field. Measured for a CheckRequest: 3.4 µs, and 50 ms for the first of a type, which is
 * why creating it takes that time already.
 */
export function createValidation(): (call: Call) => void {
  const validator = createValidator();
  for (const service of [AuthorizationService, DirectoryService, CallerService]) {
    for (const method of service.methods) validator.validate(method.input, create(method.input));
  }
  return ({ method, message }) => {
    if (message === undefined) return;
    const result = validator.validate(method.input, message);
    if (result.kind === "valid") return;
    if (result.kind === "error") throw result.error;
    throw invalidFields(
      result.violations.map((violation) => ({
        field: pathToString(violation.field),
        description: violation.message,
      })),
    );
  };
}
