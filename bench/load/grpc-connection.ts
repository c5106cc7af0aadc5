import { once } from "node:events";
import { connect } from "node:net";
import { HpackDecoder } from "../../src/http2/hpack-decoder.ts";
import {
  defaultMaxFrameBytes,
  defaultTableBytes,
  defaultWindowBytes,
  Flag,
  type Frame,
  FrameType,
  frameAt,
  frameHeaderBytes,
  pingAck,
  preface,
  Setting,
  settingsAck,
  settingsFrame,
  windowUpdateFrame,
  withoutPadding,
  writeFrame,
} from "./frames.ts";
import type { Outcome } from "./load-client.ts";
import type { RequestBlock } from "./request-block.ts";
import { UnaryAnswer } from "./unary-answer.ts";

export interface GrpcConnectionOptions {
  /** http://host:port; HTTP/2 with prior knowledge. */
  readonly url: string;
  readonly block: RequestBlock;
  /** What a reply message must begin with to count as expected. */
  readonly expectedPrefix: Uint8Array;
  /** Calls at once; the server must allow as many. */
  readonly inFlight: number;
}

export interface GrpcConnection {
  /** `frame`: a length-prefixed message. Throws when the connection is lost. */
  call(frame: Uint8Array): Promise<Outcome>;
  close(): void;
}

interface Call {
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: Error) => void;
  readonly answer: UnaryAnswer;
}

/** Of ours, in the direction of answers. */
const streamWindowBytes = 1024 * 1024;
const connectionWindowBytes = 2 ** 30;
const readBytes = 64 * 1024;
const maxAnswerHeaderBytes = 64 * 1024;

/**
 * As much of HTTP/2 (RFC 9113) as unary gRPC calls need, straight on a socket, since node:http2 costs several
 * times what the server costs that is to be measured. What is asked for by the answers of one read is sent in
 * one write.
 */
export async function openGrpcConnection(options: GrpcConnectionOptions): Promise<GrpcConnection> {
  const { hostname, port } = new URL(options.url);
  if (options.block.tableBytes > defaultTableBytes)
    throw new Error("the fields are larger than a header table");
  const calls = new Map<number, Call>();
  const decoder = new HpackDecoder({ maxListBytes: maxAnswerHeaderBytes });
  let failure: Error | undefined;

  /** Requests that the next write takes. */
  let unsent: { frame: Uint8Array; call: Call }[] = [];
  let isWriteDue = false;
  let nextStreamId = 1;
  let sendWindowBytes = defaultWindowBytes;
  let maxRequestBytes = defaultWindowBytes;

  let rest: Buffer = Buffer.alloc(0);
  let uncreditedBytes = 0;
  /** A header block whose end is still to come. */
  let unfinished: { streamId: number; flags: number; parts: Buffer[] } | undefined;
  let onSettled = () => {};
  const settled = new Promise<void>((resolve) => {
    onSettled = resolve;
  });

  const fail = (why: string) => {
    failure ??= new Error(`${options.url} ${why}`);
    for (const { reject } of [...calls.values(), ...unsent.map(({ call }) => call)]) reject(failure);
    calls.clear();
    unsent = [];
    onSettled();
  };

  const socket = connect({
    host: hostname,
    port: Number(port),
    noDelay: true,
    onread: {
      buffer: Buffer.allocUnsafe(readBytes),
      callback(length, bytes) {
        try {
          readFrames(Buffer.from(bytes.buffer, bytes.byteOffset, length));
        } catch (error) {
          fail(`sent what cannot be read: ${(error as Error).message}`);
          socket.destroy();
        }
        return true;
      },
    },
  });
  socket.on("error", (error) => fail(`is lost: ${error.message}`));
  socket.on("close", () => fail("closed the connection"));
  await once(socket, "connect");
  socket.write(
    Buffer.concat([
      preface,
      settingsFrame([
        [Setting.ENABLE_PUSH, 0],
        [Setting.INITIAL_WINDOW_SIZE, streamWindowBytes],
      ]),
      windowUpdateFrame(connectionWindowBytes - defaultWindowBytes),
    ]),
  );
  // Before the first request, which is to keep to them.
  await settled;
  if (failure !== undefined) throw failure;

  return {
    call(frame) {
      return new Promise((resolve, reject) => {
        if (failure !== undefined) {
          reject(failure);
          return;
        }
        unsent.push({ frame, call: { resolve, reject, answer: new UnaryAnswer(options.expectedPrefix) } });
        writeSoon();
      });
    },
    close: () => socket.destroy(),
  };

  /** After all that the read at hand has set going. */
  function writeSoon(): void {
    if (isWriteDue) return;
    isWriteDue = true;
    process.nextTick(writeRequests);
  }

  function writeRequests(): void {
    isWriteDue = false;
    if (failure !== undefined) return;
    let count = 0;
    let bytes = 0;
    for (const { frame } of unsent) {
      if (frame.length > Math.min(maxRequestBytes, defaultMaxFrameBytes)) {
        fail("takes no request as large as this one in a frame");
        return;
      }
      if (frame.length > sendWindowBytes) break;
      sendWindowBytes -= frame.length;
      const block = nextStreamId === 1 && count === 0 ? options.block.first : options.block.later;
      bytes += 2 * frameHeaderBytes + block.length + frame.length;
      count++;
    }
    if (count === 0) return;
    const out = Buffer.allocUnsafe(bytes);
    let at = 0;
    for (const { frame, call } of unsent.splice(0, count)) {
      const block = nextStreamId === 1 ? options.block.first : options.block.later;
      const streamId = nextStreamId;
      at = writeFrame(out, at, {
        type: FrameType.HEADERS,
        flags: Flag.END_HEADERS,
        streamId,
        payload: block,
      });
      at = writeFrame(out, at, { type: FrameType.DATA, flags: Flag.END_STREAM, streamId, payload: frame });
      calls.set(nextStreamId, call);
      nextStreamId += 2;
    }
    socket.write(out);
  }

  function readFrames(read: Buffer): void {
    const bytes = rest.length === 0 ? read : Buffer.concat([rest, read]);
    let at = 0;
    for (let frame = frameAt(bytes, at); frame !== undefined; frame = frameAt(bytes, at)) {
      readFrame(bytes, frame);
      at = frame.end;
    }
    // A copy: the socket reads into the same buffer again.
    rest = Buffer.from(bytes.subarray(at));
    if (uncreditedBytes > connectionWindowBytes / 2) {
      socket.write(windowUpdateFrame(uncreditedBytes));
      uncreditedBytes = 0;
    }
  }

  function readFrame(bytes: Buffer, frame: Frame): void {
    switch (frame.type) {
      case FrameType.DATA:
        uncreditedBytes += frame.end - frame.start;
        readData(bytes, frame);
        break;
      case FrameType.HEADERS:
        readHeaders(bytes, frame);
        break;
      case FrameType.CONTINUATION:
        if (unfinished === undefined) throw new Error("CONTINUATION of nothing");
        unfinished.parts.push(Buffer.from(bytes.subarray(frame.start, frame.end)));
        if ((frame.flags & Flag.END_HEADERS) !== 0) {
          const { streamId, flags, parts } = unfinished;
          const block = Buffer.concat(parts);
          unfinished = undefined;
          readBlock(block, { streamId, flags, start: 0, end: block.length });
        }
        break;
      case FrameType.RST_STREAM:
        // One that comes after the answer is nobody's.
        take(frame.streamId)?.resolve({
          status: `stream reset ${bytes.readUInt32BE(frame.start)}`,
          isUnexpected: false,
        });
        break;
      case FrameType.SETTINGS:
        if ((frame.flags & Flag.ACK) === 0) readSettings(bytes, frame);
        break;
      case FrameType.PING:
        if ((frame.flags & Flag.ACK) === 0) socket.write(pingAck(bytes.subarray(frame.start, frame.end)));
        break;
      case FrameType.GOAWAY:
        fail(`closed the connection with code ${bytes.readUInt32BE(frame.start + 4)}`);
        socket.destroy();
        break;
      case FrameType.WINDOW_UPDATE:
        if (frame.streamId === 0) {
          sendWindowBytes += bytes.readUInt32BE(frame.start);
          if (unsent.length > 0) writeSoon();
        }
        break;
      case FrameType.PUSH_PROMISE:
        throw new Error("PUSH_PROMISE, though pushes are off");
      default:
      // RFC 9113 4.1: unknown types are ignored, and PRIORITY says nothing to a client.
    }
  }

  function readSettings(bytes: Buffer, { start, end }: Frame): void {
    for (let at = start; at < end; at += 6) {
      const value = bytes.readUInt32BE(at + 2);
      switch (bytes.readUInt16BE(at)) {
        case Setting.HEADER_TABLE_SIZE:
          if (value < options.block.tableBytes)
            throw new Error(`a header table of ${value} bytes, too small for a request's fields`);
          break;
        case Setting.MAX_CONCURRENT_STREAMS:
          if (value < options.inFlight) throw new Error(`it takes ${value} calls at once`);
          break;
        case Setting.INITIAL_WINDOW_SIZE:
          maxRequestBytes = value;
          break;
        default:
      }
    }
    socket.write(settingsAck);
    onSettled();
  }

  function readHeaders(bytes: Buffer, frame: Frame): void {
    const { start, end } = withoutPadding(bytes, frame);
    const from = start + ((frame.flags & Flag.PRIORITY) === 0 ? 0 : 5);
    const { streamId, flags } = frame;
    if ((flags & Flag.END_HEADERS) !== 0) readBlock(bytes, { streamId, flags, start: from, end });
    else unfinished = { streamId, flags, parts: [Buffer.from(bytes.subarray(from, end))] };
  }

  function readBlock(bytes: Buffer, { streamId, flags, start, end }: Omit<Frame, "type">): void {
    const { fields } = decoder.decode(bytes, start, end);
    calls.get(streamId)?.answer.readFields(fields);
    if ((flags & Flag.END_STREAM) !== 0) finish(streamId);
  }

  function readData(bytes: Buffer, frame: Frame): void {
    const { start, end } = withoutPadding(bytes, frame);
    calls.get(frame.streamId)?.answer.readData(bytes, start, end);
    if ((frame.flags & Flag.END_STREAM) !== 0) finish(frame.streamId);
  }

  function finish(streamId: number): void {
    const call = take(streamId);
    call?.resolve(call.answer.outcome());
  }

  function take(streamId: number): Call | undefined {
    const call = calls.get(streamId);
    calls.delete(streamId);
    return call;
  }
}
