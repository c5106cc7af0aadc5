const NAME = "grpc-message";

/**
 * Spells the trailer's message as gRPC's HTTP/2 protocol has it: all printable ASCII but "%" as it is.
 * Connect escapes more (":" becomes "%3A"), which grpc-js for one does not undo.
 */
export function respellGrpcMessage(trailer: Headers): void {
  const spelled = trailer.get(NAME);
  if (spelled === null) return;
  trailer.set(NAME, decodeURIComponent(spelled).replace(/[^ -$&-~]+/g, encodeURIComponent));
}

/** The same body; respells the trailer once it is complete, which is at the body's end. */
export async function* respellingGrpcMessage(
  body: AsyncIterable<Uint8Array>,
  trailer: Headers,
): AsyncGenerator<Uint8Array> {
  yield* body;
  respellGrpcMessage(trailer);
}
