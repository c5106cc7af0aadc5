import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Flag, FRAME_HEADER_BYTES, FrameType, MAX_STREAM_ID } from "../../../src/http2/frames.ts";
import { HpackDecoder } from "../../../src/http2/hpack-decoder.ts";
import { HELLO, ping } from "./raw-frames.ts";

/** What was told of one stream. */
export interface RawAnswer {
  status: string | undefined;
  trailers: readonly string[];
  body: Buffer;
  dataFrames: number;
  /** Of RST_STREAM; undefined: it was not reset. */
  resetCode: number | undefined;
  isWhole: boolean;
}

/** How a connection ended. */
export interface Ending {
  /** Of the last GOAWAY; undefined: none came. */
  readonly code: number | undefined;
}

/** A client that sends what it is told to, right or wrong, and writes down what comes. */
export interface RawClient {
  /** Frames sent so far, counting each piece that `send` was given as one. */
  readonly sent: number;
  readonly isEnded: boolean;
  readonly ended: Promise<Ending>;
  readonly socket: Socket;
  /** Settles when the socket takes more, or has ended. */
  send(...frames: readonly Uint8Array[]): Promise<void>;
  /** What has come of a stream so far. */
  answer(streamId: number): RawAnswer;
  /** Once it is whole or reset, or the connection has ended. */
  answered(streamId: number): Promise<RawAnswer>;
  /** Once it is so, or the connection has ended. Looks at each read. */
  until(isSo: () => boolean): Promise<void>;
  /** Settles once the server has read all that was sent before. Throws where the connection ends first. */
  roundTrip(): Promise<void>;
  /** Resets by the server so far. */
  resets(): readonly number[];
  close(): Promise<void>;
}

export interface RawClientOptions {
  readonly port: number;
  /** Sent first; the default is a preface with settings. */
  readonly hello?: Uint8Array;
  /** False: nothing is ever read. */
  readonly reads?: boolean;
}

export async function connectRaw({
  port,
  hello = HELLO,
  reads = true,
}: RawClientOptions): Promise<RawClient> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  // A server that ends a connection may reset it.
  socket.on("error", () => socket.destroy());
  const decoder = new HpackDecoder({ maxListBytes: 1024 * 1024 });
  const answers = new Map<number, RawAnswer>();
  const waiting = new Set<() => void>();
  const resets: number[] = [];
  let goawayCode: number | undefined;
  let pongs = 0;
  let pings = 0;
  let sent = 0;
  let isEnded = false;
  let rest: Buffer = Buffer.alloc(0);

  const ended = new Promise<Ending>((resolve) => {
    socket.once("close", () => {
      isEnded = true;
      tell();
      resolve({ code: goawayCode });
    });
  });
  if (reads) socket.on("data", read);
  else socket.pause();
  socket.write(hello);

  function tell(): void {
    for (const look of waiting) look();
  }

  function when(isSo: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!isSo() && !isEnded) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
    });
  }

  function read(chunk: Buffer): void {
    let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (bytes.length >= FRAME_HEADER_BYTES) {
      const end = FRAME_HEADER_BYTES + bytes.readUIntBE(0, 3);
      if (bytes.length < end) break;
      onFrame(bytes, bytes.subarray(FRAME_HEADER_BYTES, end));
      bytes = bytes.subarray(end);
    }
    rest = bytes;
    tell();
  }

  function onFrame(header: Buffer, payload: Buffer): void {
    const flags = header[4] as number;
    const streamId = header.readUInt32BE(5) & MAX_STREAM_ID;
    switch (header[3]) {
      case FrameType.HEADERS: {
        const { fields } = decoder.decode(payload, 0, payload.length);
        const known = answerOf(streamId);
        if (known.status === undefined) known.status = fields[1];
        else known.trailers = fields;
        break;
      }
      case FrameType.DATA: {
        const known = answerOf(streamId);
        known.body = Buffer.concat([known.body, payload]);
        known.dataFrames++;
        break;
      }
      case FrameType.RST_STREAM:
        answerOf(streamId).resetCode = payload.readUInt32BE(0);
        resets.push(payload.readUInt32BE(0));
        return;
      case FrameType.GOAWAY:
        goawayCode = payload.readUInt32BE(4);
        return;
      case FrameType.PING:
        if ((flags & Flag.ACK) !== 0 && payload.toString().startsWith("here")) pongs++;
        return;
      default:
        return;
    }
    if ((flags & Flag.END_STREAM) !== 0) answerOf(streamId).isWhole = true;
  }

  function answerOf(streamId: number): RawAnswer {
    let known = answers.get(streamId);
    if (known === undefined) {
      known = {
        status: undefined,
        trailers: [],
        body: Buffer.alloc(0),
        dataFrames: 0,
        resetCode: undefined,
        isWhole: false,
      };
      answers.set(streamId, known);
    }
    return known;
  }

  async function send(...frames: readonly Uint8Array[]): Promise<void> {
    if (isEnded || socket.destroyed) return;
    sent += frames.length;
    if (socket.write(Buffer.concat(frames))) return;
    await Promise.race([once(socket, "drain"), ended]);
  }

  return {
    get sent() {
      return sent;
    },
    get isEnded() {
      return isEnded;
    },
    ended,
    socket,
    send,
    answer: answerOf,
    async answered(streamId) {
      const isDone = ({ isWhole, resetCode }: RawAnswer) => isWhole || resetCode !== undefined;
      await when(() => isDone(answerOf(streamId)));
      return answerOf(streamId);
    },
    until: when,
    async roundTrip() {
      const wanted = ++pings;
      await send(ping("here"));
      await when(() => pongs >= wanted);
      if (pongs < wanted) throw new Error(`the connection ended, with GOAWAY ${goawayCode ?? "never sent"}`);
    },
    resets: () => resets,
    async close() {
      socket.destroy();
      await ended;
    },
  };
}
