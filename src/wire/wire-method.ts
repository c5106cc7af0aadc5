import { WireReader } from "./wire-reader.ts";
import { PREFIX_BYTES, WireWriter } from "./wire-writer.ts";

/** A unary gRPC method that is served without message objects, as far as its requests are plain. */
export interface WireMethod<Call> {
  /**
   * Reads the one message of a gRPC body, of which nothing is kept. Undefined: it is not a plain one, and
   * another way is to read it, or to say what is wrong with it.
   */
  read(body: Buffer): WireRequest<Call> | undefined;
}

export interface WireRequest<Call> {
  /** What was made of it. The proto's rules hold. */
  readonly message: object;
  /** Answers a gRPC body. */
  work(call: Call): Buffer | Promise<Buffer>;
}

interface WireMethodParts<Input, Answer, Call> {
  /** Undefined, or a reader that refused: the message is not a plain one. */
  decode(reader: WireReader): Input | undefined;
  work(input: Input, call: Call): Answer | Promise<Answer>;
  encode(answer: Answer, writer: WireWriter): void;
}

/** Longer messages are not read as plain ones: so none of their texts is longer, as the proto's rules ask. */
const MAX_PLAIN_BYTES = 1_048_576;

export function wireMethod<Input extends object, Answer, Call>(
  parts: WireMethodParts<Input, Answer, Call>,
): WireMethod<Call> {
  const { decode, work, encode } = parts;
  const frameOf = (answer: Answer): Buffer => {
    writer.beginFrame();
    encode(answer, writer);
    return writer.endFrame();
  };
  return {
    read(body) {
      if (body.length > PREFIX_BYTES + MAX_PLAIN_BYTES) return undefined;
      reader.begin(body, PREFIX_BYTES);
      const message = decode(reader);
      if (!reader.finish() || message === undefined) return undefined;
      return {
        message,
        work(call) {
          const answer = work(message, call);
          return answer instanceof Promise ? answer.then(frameOf) : frameOf(answer);
        },
      };
    },
  };
}

// Nothing is awaited between a message's first byte and its last, so one of each serves all.
const reader = new WireReader();
const writer = new WireWriter();
