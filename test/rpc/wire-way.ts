import { type WireMethod, wireMethod } from "../../src/wire/wire-method.ts";
import type { WireReader } from "../../src/wire/wire-reader.ts";
import type { WireWriter } from "../../src/wire/wire-writer.ts";
import { grpcBody } from "../support/mutated-bytes.ts";

/** What a codec reads of a message; undefined: it is for the general way. */
export function plainlyRead<Input extends object>(
  decode: (reader: WireReader) => Input | undefined,
  message: Uint8Array,
): object | undefined {
  const method: WireMethod<undefined> = wireMethod({
    decode,
    work: () => Promise.reject(new Error("only read")),
    encode: () => {},
  });
  return method.read(grpcBody(message))?.message;
}

/** The message in the gRPC body that a codec writes. */
export async function plainlyWritten<Answer>(
  encode: (answer: Answer, writer: WireWriter) => void,
  answer: Answer,
): Promise<Uint8Array> {
  const method: WireMethod<undefined> = wireMethod({
    decode: () => ({}),
    work: () => Promise.resolve(answer),
    encode,
  });
  const body = await method.read(grpcBody(new Uint8Array()))?.work(undefined);
  if (body === undefined) throw new Error("an empty message is not read");
  if (body[0] !== 0 || body.readUInt32BE(1) !== body.length - 5) throw new Error("not one message");
  return Uint8Array.from(body.subarray(5));
}
