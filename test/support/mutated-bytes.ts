import fc from "fast-check";

/** The bytes with a few of them changed, taken out, put in or repeated: as often still a message as not. */
export function mutated(bytes: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  const change = fc.record({
    kind: fc.constantFrom("set", "set", "set", "insert", "remove", "truncate", "repeat", "append"),
    at: fc.nat(),
    length: fc.integer({ min: 1, max: 8 }),
    value: fc.oneof(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 127 })),
  });
  return fc.tuple(bytes, fc.array(change, { minLength: 1, maxLength: 2 })).map(([from, changes]) => {
    let to = [...from];
    for (const { kind, at: anywhere, length, value } of changes) {
      const at = anywhere % (to.length + 1);
      const piece = to.slice(at, at + length);
      if (kind === "set" && to.length > 0) to[at % to.length] = value;
      if (kind === "insert") to.splice(at, 0, value);
      if (kind === "remove") to.splice(at, length);
      if (kind === "truncate") to = to.slice(0, at);
      if (kind === "repeat") to.splice(at, 0, ...piece);
      if (kind === "append") to.push(...from);
    }
    return Uint8Array.from(to);
  });
}

/** A gRPC body of one message. */
export function grpcBody(message: Uint8Array): Buffer {
  const body = Buffer.alloc(5 + message.length);
  body.writeUInt32BE(message.length, 1);
  body.set(message, 5);
  return body;
}

/** Any text, also beyond ASCII; but for U+FFFD, which stands for what is no text. */
export function anyText(maxLength: number): fc.Arbitrary<string> {
  return fc
    .oneof(fc.string({ maxLength }), fc.string({ maxLength, unit: "binary" }))
    .map((text) => text.replaceAll("\ufffd", "?"));
}
