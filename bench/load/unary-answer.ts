import type { Outcome } from "./load-client.ts";

/** gRPC over HTTP/2: a flag and four bytes of length before each message. */
const lengthPrefixBytes = 5;
const asExpected: Outcome = { status: "0", isUnexpected: false };

/** What has come of the answer to one unary gRPC call. */
export class UnaryAnswer {
  readonly #expectedPrefix: Uint8Array;
  /** "": not yet known. */
  #status = "";
  /** Of the message with its length prefix. */
  #receivedBytes = 0;
  #isUnexpected = false;

  /** `expectedPrefix`: what the message must begin with to count as expected. */
  constructor(expectedPrefix: Uint8Array) {
    this.#expectedPrefix = expectedPrefix;
  }

  /** Of headers or trailers; names and values in turn. */
  readFields(fields: readonly string[]): void {
    for (let index = 0; index < fields.length; index += 2) {
      const value = fields[index + 1] as string;
      if (fields[index] === ":status" && value !== "200") this.#status = `http ${value}`;
      // An error without a message carries its status in its only fields: headers that are trailers too.
      else if (fields[index] === "grpc-status" && this.#status === "") this.#status = value;
    }
  }

  /** bytes[start, end) of the body. */
  readData(bytes: Buffer, start: number, end: number): void {
    const from = this.#receivedBytes - lengthPrefixBytes;
    this.#receivedBytes += end - start;
    for (let index = Math.max(0, -from); index < end - start; index++) {
      const expected = this.#expectedPrefix[from + index];
      if (expected === undefined) break;
      if (bytes[start + index] !== expected) this.#isUnexpected = true;
    }
  }

  /** At the end of the stream. */
  outcome(): Outcome {
    if (this.#status !== "0") {
      return { status: this.#status || "stream ended without a status", isUnexpected: false };
    }
    const isShort = this.#receivedBytes < lengthPrefixBytes + this.#expectedPrefix.length;
    return this.#isUnexpected || isShort ? { status: "0", isUnexpected: true } : asExpected;
  }
}
