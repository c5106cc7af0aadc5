import { once } from "node:events";
import { connect } from "node:net";
import { Flag, FRAME_HEADER_BYTES, FrameType } from "../../../src/http2/frames.ts";
import { HpackDecoder } from "../../../src/http2/hpack-decoder.ts";
import { framesIn, type RawFrame } from "./frame-bytes.ts";

/** What a server has sent on one stream. */
export interface RawAnswer {
  /** Header blocks in their order: informational ones, the head, trailers. */
  readonly blocks: (readonly string[])[];
  readonly body: Buffer[];
  isEnded: boolean;
  resetCode: number | undefined;
}

export interface RawExchange {
  readonly answers: ReadonlyMap<number, RawAnswer>;
  /** Payloads of acknowledged pings, in order. */
  readonly pings: readonly string[];
  /** Of GOAWAY frames; -1: the connection closed before all was answered. */
  readonly goaways: readonly number[];
}

/**
 * Sends pieces of bytes on a connection of its own, and reads until each of these streams has ended or was reset, and so
 * many pings are acknowledged.
 */
export async function rawExchange(options: {
  readonly port: number;
  readonly pieces: readonly Buffer[];
  readonly streamIds: readonly number[];
  readonly pings: number;
}): Promise<RawExchange> {
  const { port, pieces, streamIds } = options;
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  const answers = new Map<number, RawAnswer>();
  const pings: string[] = [];
  const goaways: number[] = [];
  const reader = createReader({ answers, pings, goaways });
  const isDone = () =>
    goaways.length > 0 ||
    (pings.length >= options.pings &&
      streamIds.every((id) => {
        const answer = answers.get(id);
        return answer !== undefined && (answer.isEnded || answer.resetCode !== undefined);
      }));
  const done = new Promise<void>((resolve) => {
    socket.on("data", (bytes: Buffer) => {
      reader(bytes);
      if (isDone()) resolve();
    });
    socket.once("error", () => {});
    socket.once("close", () => {
      if (!isDone()) goaways.push(-1);
      resolve();
    });
  });
  await once(socket, "connect");
  for (const piece of pieces) {
    socket.write(piece);
    // In reads of their own.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await done;
  socket.destroy();
  return { answers, pings, goaways };
}

/** Takes bytes as they come, and adds what they tell. */
export function createReader(into: {
  readonly answers: Map<number, RawAnswer>;
  readonly pings: string[];
  readonly goaways: number[];
}): (bytes: Buffer) => void {
  const decoder = new HpackDecoder({ maxListBytes: 1 << 20 });
  let unread: Buffer = Buffer.alloc(0);
  let open: { first: RawFrame; parts: Buffer[] } | undefined;

  function answerOf(streamId: number): RawAnswer {
    const known = into.answers.get(streamId);
    if (known !== undefined) return known;
    const answer: RawAnswer = { blocks: [], body: [], isEnded: false, resetCode: undefined };
    into.answers.set(streamId, answer);
    return answer;
  }

  /** Throws what a client would end the connection for. */
  function take({ type, flags, streamId, payload }: RawFrame): void {
    if (type === FrameType.PING && (flags & Flag.ACK) !== 0) into.pings.push(payload.toString("latin1"));
    if (type === FrameType.GOAWAY) into.goaways.push(payload.readUInt32BE(4));
    if (type === FrameType.HEADERS) open = { first: { type, flags, streamId, payload }, parts: [] };
    if (type === FrameType.HEADERS || type === FrameType.CONTINUATION) {
      if (open === undefined) throw new Error("a CONTINUATION of nothing");
      open.parts.push(payload);
      if ((flags & Flag.END_HEADERS) === 0) return;
      const block = Buffer.concat(open.parts);
      const answer = answerOf(streamId);
      if (answer.isEnded || answer.resetCode !== undefined)
        throw new Error(`HEADERS after the end of ${streamId}`);
      answer.blocks.push(decoder.decode(block, 0, block.length).fields);
      answer.isEnded = (open.first.flags & Flag.END_STREAM) !== 0;
      open = undefined;
      return;
    }
    if (open !== undefined) throw new Error("a frame within a header block");
    if (type === FrameType.DATA) {
      const answer = answerOf(streamId);
      if (answer.blocks.length === 0) throw new Error(`DATA before HEADERS of ${streamId}`);
      if (answer.isEnded || answer.resetCode !== undefined)
        throw new Error(`DATA after the end of ${streamId}`);
      answer.body.push(payload);
      answer.isEnded = (flags & Flag.END_STREAM) !== 0;
    }
    if (type === FrameType.RST_STREAM) answerOf(streamId).resetCode = payload.readUInt32BE();
  }

  return (bytes) => {
    unread = unread.length === 0 ? bytes : Buffer.concat([unread, bytes]);
    const { frames, end } = framesIn(unread);
    for (const each of frames) take(each);
    unread = unread.subarray(end);
    if (unread.length > FRAME_HEADER_BYTES + 16_384) throw new Error("a frame above 16,384 bytes");
  };
}
