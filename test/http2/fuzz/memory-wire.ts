import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { createHttp2Engine, type EngineBounds, type Http2Engine } from "../../../src/http2/engine.ts";
import type { ConnectionError } from "../../../src/http2/frames.ts";
import { ErrorCode, FrameType } from "../../../src/http2/frames.ts";
import { HpackDecoder } from "../../../src/http2/hpack-decoder.ts";
import type { ServerStream } from "../../../src/http2/stream.ts";
import { frameBytes, framesIn, type RawFrame } from "./frame-bytes.ts";

/** A client's end of a connection to an engine of its own, in memory. */
export interface MemoryWire {
  readonly engine: Http2Engine;
  readonly socket: MemorySocket;
  /** Everything that the engine was told by `onFault`, and by `onReset`. */
  readonly faults: ConnectionError[];
  readonly resets: { readonly code: number; readonly by: string }[];
  /** Frames, or bytes as they are, in one piece; settles when they have been served. */
  send(...parts: readonly (RawFrame | Buffer)[]): Promise<void>;
  /** All frames so far. */
  frames(): RawFrame[];
  /** As `told` of all frames so far, but for those of the beginning: SETTINGS, its acknowledgement, WINDOW_UPDATE. */
  told(): string[];
  /** Ends the connection from the client's side; settles when the engine has let it go. */
  close(): Promise<void>;
}

const WIRE_BOUNDS: EngineBounds = {
  maxConcurrentStreams: 100,
  maxHeaderListBytes: 16_384,
  streamWindowBytes: 65_535,
  connectionWindowBytes: 1024 * 1024,
  maxQueuedBytes: 8 * 1024 * 1024,
  maxQueuedBytesInAll: 256 * 1024 * 1024,
  resets: { burst: 1000, perSecond: 100 },
  controlFrames: { burst: 10_000, perSecond: 1000 },
  headerTimeoutMs: 10_000,
  bodyTimeoutMs: 30_000,
  idleTimeoutMs: 600_000,
  maxAgeMs: Number.POSITIVE_INFINITY,
};

export interface WireOptions {
  readonly onStream: (stream: ServerStream) => void;
  readonly bounds?: Partial<EngineBounds>;
}

export function openWire(options: WireOptions): MemoryWire {
  const faults: ConnectionError[] = [];
  const resets: MemoryWire["resets"] = [];
  const engine = createHttp2Engine({
    bounds: { ...WIRE_BOUNDS, ...options.bounds },
    onStream: options.onStream,
    onFault: (error) => faults.push(error),
    onReset: (code, by) => resets.push({ code, by }),
  });
  const socket = new MemorySocket();
  engine.accept(socket as unknown as Socket);
  const frames = () => framesIn(Buffer.concat(socket.written)).frames;
  return {
    engine,
    socket,
    faults,
    resets,
    frames,
    async send(...parts) {
      socket.push(Buffer.concat(parts.map((part) => (Buffer.isBuffer(part) ? part : frameBytes(part)))));
      await served();
    },
    told: () => toldOf(frames()).slice(3),
    async close() {
      socket.push(null);
      while (engine.connections() > 0) await served();
    },
  };
}

/** What was read is served, and answered, within two turns. */
export async function served(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** One end of a connection in memory: `push` is what the client sends, `written` what it gets. */
export class MemorySocket extends Duplex {
  readonly written: Buffer[] = [];
  readonly encrypted = false;
  readonly remoteAddress = "192.0.2.1";
  /** The client does not read: what is written is not taken until it is false again. */
  #isStalled = false;
  #taken: (() => void) | undefined;

  constructor() {
    super({ allowHalfOpen: false });
  }

  get writtenBytes(): number {
    return this.written.reduce((sum, bytes) => sum + bytes.length, 0);
  }

  stall(): void {
    this.#isStalled = true;
  }

  unstall(): void {
    this.#isStalled = false;
    const taken = this.#taken;
    this.#taken = undefined;
    taken?.();
  }

  override _read(): void {}

  override _write(bytes: Buffer, _: BufferEncoding, done: () => void): void {
    this.written.push(bytes);
    if (this.#isStalled) this.#taken = done;
    else done();
  }
}

const frameNames = new Map<number, string>(Object.entries(FrameType).map(([name, type]) => [type, name]));
const codeNames = new Map<number, string>(Object.entries(ErrorCode).map(([name, code]) => [code, name]));

/**
 * Frames in words, such as "HEADERS 1 end :status=200", "DATA 1 5", "RST_STREAM 1 CANCEL", "GOAWAY 1 NO_ERROR",
 * "WINDOW_UPDATE 0 100"; header blocks are decoded as of one connection.
 */
function toldOf(frames: readonly RawFrame[]): string[] {
  const decoder = new HpackDecoder({ maxListBytes: 1 << 20 });
  return frames.map(({ type, flags, streamId, payload }) => {
    const name = frameNames.get(type) ?? `frame ${type}`;
    const end = (flags & 1) === 0 ? "" : " end";
    const ack = (flags & 1) === 0 ? "" : " ack";
    switch (type) {
      case FrameType.DATA:
        return `${name} ${streamId} ${payload.length}${end}`;
      case FrameType.HEADERS: {
        const { fields } = decoder.decode(payload, 0, payload.length);
        const pairs = fields.flatMap((field, index) =>
          index % 2 === 0 ? [`${field}=${fields[index + 1]}`] : [],
        );
        return [`${name} ${streamId}${end}`, ...pairs].join(" ");
      }
      case FrameType.RST_STREAM:
        return `${name} ${streamId} ${codeNames.get(payload.readUInt32BE())}`;
      case FrameType.GOAWAY:
        return `${name} ${payload.readUInt32BE()} ${codeNames.get(payload.readUInt32BE(4))}`;
      case FrameType.WINDOW_UPDATE:
        return `${name} ${streamId} ${payload.readUInt32BE()}`;
      case FrameType.PING:
        return `${name}${ack} ${payload.toString("latin1").trim()}`;
      default:
        return `${name}${ack}`;
    }
  });
}
