import type { DescService } from "@bufbuild/protobuf";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import type {
  ServerReflection as V1,
  ServerReflectionRequest as V1Request,
} from "../gen/grpc/reflection/v1/reflection_pb.ts";
import type {
  ServerReflection as V1Alpha,
  ServerReflectionRequest as V1AlphaRequest,
} from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { createFileIndex } from "./file-index.ts";
import { createStopWaits } from "./stop-waits.ts";

export interface ReflectionOptions {
  /** What is served and told of. */
  readonly services: readonly DescService[];
  /** Aborted when the process stops: streams then end. */
  readonly stopping: AbortSignal;
}

/** gRPC server reflection; the two versions differ in their package's name only. */
export function createReflection(options: ReflectionOptions): {
  v1: ServiceImpl<typeof V1>;
  v1alpha: ServiceImpl<typeof V1Alpha>;
} {
  const index = createFileIndex(options.services);
  const waits = createStopWaits(options.stopping);

  async function* answers<Request extends V1Request | V1AlphaRequest>(requests: AsyncIterable<Request>) {
    const iterator = requests[Symbol.asyncIterator]();
    for (;;) {
      const next = await waits.untilStop(iterator.next());
      if (next === undefined || next.done === true) return;
      const request = next.value;
      yield {
        validHost: request.host,
        originalRequest: request,
        messageResponse: answer(request.messageRequest),
      };
    }
  }

  function answer(request: (V1Request | V1AlphaRequest)["messageRequest"]): MessageResponse {
    switch (request.case) {
      case "listServices":
        return {
          case: "listServicesResponse",
          value: { service: options.services.map(({ typeName }) => ({ name: typeName })) },
        };
      case "fileByFilename":
        return file(index.byName(request.value), request.value);
      case "fileContainingSymbol":
        return file(index.bySymbol(request.value), request.value);
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = request.value;
        return file(
          index.byExtension(containingType, extensionNumber),
          `${containingType} [${extensionNumber}]`,
        );
      }
      case "allExtensionNumbersOfType": {
        const numbers = index.extensionNumbers(request.value);
        if (numbers === undefined) return notFound(request.value);
        return {
          case: "allExtensionNumbersResponse",
          value: { baseTypeName: request.value, extensionNumber: [...numbers] },
        };
      }
      case undefined:
        return failure(Code.InvalidArgument, "The request asks for nothing.");
    }
  }

  function file(found: ReturnType<typeof index.byName>, asked: string): MessageResponse {
    if (found === undefined) return notFound(asked);
    return {
      case: "fileDescriptorResponse",
      value: { fileDescriptorProto: [...index.serialized(found)] },
    };
  }

  return {
    v1: { serverReflectionInfo: answers },
    v1alpha: { serverReflectionInfo: answers },
  };
}

/** Of both versions. */
type MessageResponse =
  | { case: "listServicesResponse"; value: { service: { name: string }[] } }
  | { case: "fileDescriptorResponse"; value: { fileDescriptorProto: Uint8Array[] } }
  | { case: "allExtensionNumbersResponse"; value: { baseTypeName: string; extensionNumber: number[] } }
  | { case: "errorResponse"; value: { errorCode: Code; errorMessage: string } };

function notFound(asked: string): MessageResponse {
  return failure(Code.NotFound, `There is no ${JSON.stringify(asked.slice(0, 200))} here.`);
}

function failure(errorCode: Code, errorMessage: string): MessageResponse {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}
