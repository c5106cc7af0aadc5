import type { Duplex } from "node:stream";
import { Allowance } from "./allowance.ts";
import { type Fields, faultOfTrailers, isSoundField, PreparedFields, RequestHead } from "./fields.ts";
import { ReceiveWindow, SendWindow } from "./flow-control.ts";
import { type Frame, FrameReader } from "./frame-reader.ts";
import { FrameWriter } from "./frame-writer.ts";
import {
  ConnectionError,
  DEFAULT_MAX_FRAME_BYTES,
  DEFAULT_WINDOW_BYTES,
  ErrorCode,
  Flag,
  FrameType,
  MAX_STREAM_ID,
  MAX_WINDOW_BYTES,
  Setting,
  StreamError,
} from "./frames.ts";
import { type HeaderBlock, HpackDecoder, HpackError } from "./hpack-decoder.ts";
import { OpenHeaderBlock } from "./open-header-block.ts";
import { type ServerStream, type StreamHost, StreamState, type WholeAnswer } from "./stream.ts";
import { StreamIds } from "./stream-ids.ts";
import { StreamTable } from "./stream-table.ts";

/** What one client may hold and do. Times in milliseconds. */
export interface ConnectionBounds {
  /** Streams at once; one that was reset counts until its request is done with. */
  readonly maxConcurrentStreams: number;
  /** Of a header list, uncompressed, as RFC 9113 6.5.2 counts it. */
  readonly maxHeaderListBytes: number;
  /** What a client may send on a stream before it is consumed; at least 65,535. */
  readonly streamWindowBytes: number;
  /** The same of all its streams. */
  readonly connectionWindowBytes: number;
  /** Of answers that it has not taken. */
  readonly maxQueuedBytes: number;
  /** Streams that it, or a fault of its own, may reset: at once, and a second. */
  readonly resets: Rate;
  /** Frames that carry no request: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, CONTINUATION, small DATA, unknown ones. */
  readonly controlFrames: Rate;
  /** From a frame's or a header block's first byte to its last, and to the acknowledgement of our SETTINGS. */
  readonly headerTimeoutMs: number;
  /** From a request's head to its last byte; and again, until its answer is taken. */
  readonly bodyTimeoutMs: number;
  /** Without a stream. */
  readonly idleTimeoutMs: number;
  /** Then it is told to go elsewhere, so that new replicas get their share; a part of it is random. Infinity: never. */
  readonly maxAgeMs: number;
}

export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

export interface ConnectionEvents {
  /** A request's head. Its sink is to be set before this returns. */
  onStream(stream: ServerStream): void;
  /** It ends by a fault, of the client's or (INTERNAL_ERROR, with its cause) our own. */
  onFault(error: ConnectionError): void;
  onReset(code: number, by: "client" | "server"): void;
  /** Nothing is to be expected of it any more. */
  onEnded(): void;
}

export interface ConnectionOptions extends ConnectionEvents {
  readonly socket: Duplex;
  readonly isEncrypted: boolean;
  readonly remoteAddress: string | undefined;
  readonly bounds: ConnectionBounds;
  /** Of the last sweep: performance.now(). */
  readonly clock: { readonly nowMs: number };
}

const NO_BYTES = Buffer.alloc(0);
/** A piece of a body below this, other than its last, carries hardly more than an empty one. */
const SMALL_DATA_BYTES = 256;
const PING_BYTES = Buffer.from("tollgate", "latin1");
/** A client that has not acknowledged a ping by then is taken to have read the first GOAWAY. */
const MAX_ROUND_TRIP_MS = 1000;
/** What Node reads of a socket at a time, where there is so much. */
const LONG_READ_BYTES = 65_536;
/** For a client to read why its connection ends. */
const GOODBYE_MS = 1000;
const TOO_LARGE = new PreparedFields([":status", "431"]);

/** One connection of RFC 9113, from the preface to GOAWAY: what is read is served within the turn, and answered in one write. */
export class Http2Connection implements StreamHost {
  readonly isEncrypted: boolean;
  readonly remoteAddress: string | undefined;
  readonly #options: ConnectionOptions;
  readonly #bounds: ConnectionBounds;
  readonly #socket: Duplex;
  readonly #clock: ConnectionOptions["clock"];
  readonly #reader: FrameReader;
  readonly #writer = new FrameWriter(() => this.#flushSoon());
  readonly #decoder: HpackDecoder;
  /** Of the last header block, where it is remembered. */
  #lastHead: RequestHead | undefined;
  readonly #ids = new StreamIds();
  readonly #streams = new StreamTable();
  readonly #sendWindow = new SendWindow(DEFAULT_WINDOW_BYTES);
  readonly #receiveWindow: ReceiveWindow;
  readonly #resets: Allowance;
  readonly #controlFrames: Allowance;
  /** Whose answers wait for the connection's window, though their own is open, in turn. */
  readonly #blocked = new Set<StreamState>();
  readonly #beganMs: number;
  readonly #retiresMs: number;

  /** No frame was read yet. */
  #isFirst = true;
  /** A header block that CONTINUATION frames go on with. */
  #block: OpenHeaderBlock | undefined;

  #peerWindowBytes = DEFAULT_WINDOW_BYTES;
  #settingsAcknowledged = false;
  /** What GOAWAY has said: RFC 9113 6.8 lets it sink only. */
  #lastPromisedId = MAX_STREAM_ID;
  /** Streams whose requests are not done with. */
  #occupied = 0;
  /** Of the header lists of open streams. */
  #fieldBytes = 0;
  #queuedBytes = 0;
  #idleSinceMs: number;
  #congestedSinceMs: number | undefined;
  #isReading = false;
  #isFlushQueued = false;
  /** "retiring": told that it will go. "retired": no new streams. "over": nothing is read any more. */
  #state: "open" | "retiring" | "retired" | "over" = "open";
  #retiringTimer: NodeJS.Timeout | undefined;

  constructor(options: ConnectionOptions) {
    const { socket, bounds, clock } = options;
    this.#options = options;
    this.#bounds = bounds;
    this.#socket = socket;
    this.#clock = clock;
    this.isEncrypted = options.isEncrypted;
    this.remoteAddress = options.remoteAddress;
    this.#decoder = new HpackDecoder({ maxListBytes: bounds.maxHeaderListBytes, isSound: isSoundField });
    this.#receiveWindow = new ReceiveWindow(bounds.connectionWindowBytes);
    const now = () => performance.now();
    this.#resets = new Allowance({ ...bounds.resets, now });
    this.#controlFrames = new Allowance({ ...bounds.controlFrames, now });
    this.#beganMs = clock.nowMs;
    this.#idleSinceMs = clock.nowMs;
    this.#retiresMs = clock.nowMs + bounds.maxAgeMs * (0.75 + Math.random() / 4);
    this.#reader = new FrameReader({
      onFrame: (frame) => this.#onFrame(frame),
      isOver: () => this.#state === "over",
      clock,
    });
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("drain", () => this.#onDrain());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#onClose());
    this.#writer.settings([
      [Setting.MAX_CONCURRENT_STREAMS, bounds.maxConcurrentStreams],
      [Setting.INITIAL_WINDOW_SIZE, bounds.streamWindowBytes],
      [Setting.MAX_HEADER_LIST_SIZE, bounds.maxHeaderListBytes],
    ]);
    const more = bounds.connectionWindowBytes - DEFAULT_WINDOW_BYTES;
    if (more > 0) this.#writer.windowUpdate(0, more);
    this.#flushSoon();
  }

  /** Bytes of answers that wait for the client. */
  get queuedBytes(): number {
    return this.#queuedBytes + this.#writer.length + this.#socket.writableLength;
  }

  /** The same, and the header lists of open streams. */
  get heldBytes(): number {
    return this.queuedBytes + this.#fieldBytes;
  }

  get streams(): number {
    return this.#streams.size;
  }

  /** Ends it without losing a request, as RFC 9113 6.8 asks: a notice, a round trip later the last word, then its streams. */
  retire(): void {
    if (this.#state !== "open") return;
    this.#state = "retiring";
    this.#writeGoaway(MAX_STREAM_ID, ErrorCode.NO_ERROR);
    this.#writer.ping(PING_BYTES);
    this.#retiringTimer = setTimeout(() => this.#retireNow(), MAX_ROUND_TRIP_MS);
    this.#flushSoon();
  }

  /** Ends it at once. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** Too much is held for it. */
  shed(): void {
    this.#fail(new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "too much is held for it"));
    this.#socket.destroy();
  }

  /** Ends what has taken too long. Called about once a second, with the clock set. */
  sweep(): void {
    if (this.#state === "over") return;
    const { nowMs } = this.#clock;
    const { headerTimeoutMs, bodyTimeoutMs, idleTimeoutMs } = this.#bounds;
    if (!this.#settingsAcknowledged && nowMs - this.#beganMs > headerTimeoutMs) {
      this.#fail(new ConnectionError(ErrorCode.SETTINGS_TIMEOUT, "SETTINGS are not acknowledged"));
      return;
    }
    const isHeadLate = this.#block !== undefined && nowMs - this.#block.sinceMs > headerTimeoutMs;
    const waitingSinceMs = this.#reader.waitingSinceMs;
    const isFrameLate = waitingSinceMs !== undefined && nowMs - waitingSinceMs > headerTimeoutMs;
    if (isHeadLate || isFrameLate) {
      this.#fail(new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "a frame does not end"));
      return;
    }
    if (this.#congestedSinceMs !== undefined && nowMs - this.#congestedSinceMs > bodyTimeoutMs) {
      this.shed();
      return;
    }
    for (const stream of this.#streams.all()) {
      if (nowMs - stream.beganMs <= bodyTimeoutMs) continue;
      try {
        this.#endLate(stream, nowMs);
      } catch (error) {
        this.#fail(connectionErrorOf(error));
        return;
      }
    }
    if (this.#streams.size === 0 && nowMs - this.#idleSinceMs > idleTimeoutMs) this.retire();
    else if (nowMs > this.#retiresMs) this.retire();
    this.#flushSoon();
  }

  #endLate(stream: StreamState, nowMs: number): void {
    if (!stream.isAnswered && stream.sink?.onLate === undefined) return;
    if (!stream.isWhole && !stream.isLate) {
      stream.isLate = true;
      stream.beganMs = nowMs;
      if (!stream.isAnswered) stream.sink?.onLate?.();
      else if (stream.isClosed) this.#reset(stream, ErrorCode.NO_ERROR);
    } else if (stream.isAnswered || stream.isLate) {
      this.#reset(stream, stream.isClosed ? ErrorCode.NO_ERROR : ErrorCode.CANCEL);
    }
  }

  // What is read: RFC 9113 4.1.

  #read(chunk: Buffer): void {
    if (this.#state === "over") return;
    this.#isReading = true;
    try {
      this.#reader.read(chunk);
    } catch (error) {
      this.#fail(connectionErrorOf(error));
    }
    this.#isReading = false;
    this.#flush();
    if (chunk.length >= LONG_READ_BYTES) this.#giveWay();
  }

  /** libuv would read a socket that has always more 32 times before it looks at any other. */
  #giveWay(): void {
    if (this.#state === "over" || this.#congestedSinceMs !== undefined) return;
    this.#socket.pause();
    setImmediate(() => {
      if (this.#congestedSinceMs === undefined) this.#socket.resume();
    });
  }

  #onFrame(frame: Frame): void {
    const { type, flags, streamId } = frame;
    if (this.#isFirst && (type !== FrameType.SETTINGS || (flags & Flag.ACK) !== 0)) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "the first frame is no SETTINGS");
    }
    this.#isFirst = false;
    if (this.#block !== undefined && (type !== FrameType.CONTINUATION || streamId !== this.#block.streamId)) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "a frame within a header block");
    }
    try {
      this.#dispatch(frame);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      this.#onStreamError(error);
    }
  }

  #dispatch(frame: Frame): void {
    switch (frame.type) {
      case FrameType.DATA:
        this.#onData(frame);
        return;
      case FrameType.HEADERS:
        this.#onHeaders(frame);
        return;
      case FrameType.CONTINUATION:
        this.#onContinuation(frame);
        return;
      case FrameType.WINDOW_UPDATE:
        this.#countControlFrame();
        this.#onWindowUpdate(frame);
        return;
      case FrameType.RST_STREAM:
        this.#onReset(frame);
        return;
      case FrameType.SETTINGS:
        this.#countControlFrame();
        this.#onSettings(frame);
        return;
      case FrameType.PING:
        this.#countControlFrame();
        this.#onPing(frame);
        return;
      case FrameType.PRIORITY:
        this.#countControlFrame();
        this.#onPriority(frame);
        return;
      case FrameType.GOAWAY:
        this.#countControlFrame();
        this.#onGoaway(frame);
        return;
      case FrameType.PUSH_PROMISE:
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "a PUSH_PROMISE of a client");
      default:
        // RFC 9113 5.5: ignored.
        this.#countControlFrame();
    }
  }

  #countControlFrame(): void {
    if (!this.#controlFrames.take()) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that carry no request");
    }
  }

  // Requests: RFC 9113 5.1, 6.2, 6.10, 8.1.

  #onHeaders(frame: Frame): void {
    const { streamId, flags, bytes } = frame;
    if (streamId === 0 || streamId % 2 === 0) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "HEADERS on a stream that no client opens");
    }
    let { start } = frame;
    const end = paddedEnd(frame);
    if ((flags & Flag.PADDED) !== 0) start++;
    let dependsOn: number | undefined;
    if ((flags & Flag.PRIORITY) !== 0) {
      if (end - start < 5)
        throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for its priority");
      dependsOn = bytes.readUInt32BE(start) & MAX_STREAM_ID;
      start += 5;
    }
    const isSelfDependent = dependsOn === streamId;
    if ((flags & Flag.END_HEADERS) === 0) {
      // Of more than that the list would be too large even without any compression.
      const maxBytes = 2 * this.#bounds.maxHeaderListBytes + DEFAULT_MAX_FRAME_BYTES;
      this.#block = new OpenHeaderBlock({ streamId, flags, sinceMs: this.#clock.nowMs, maxBytes });
      this.#block.add(bytes, start, end);
      if (isSelfDependent)
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself");
      return;
    }
    // Whatever becomes of it: the table is of the connection.
    const block = this.#decoder.decode(bytes, start, end);
    if (isSelfDependent && streamId > this.#ids.last) {
      this.#ids.open(streamId);
      throw new StreamError(streamId, ErrorCode.PROTOCOL_ERROR, "depends on itself");
    }
    this.#onHeaderBlock(streamId, flags, block);
  }

  #onContinuation({ flags, bytes, start, end }: Frame): void {
    this.#countControlFrame();
    const block = this.#block;
    if (block === undefined) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "a CONTINUATION of nothing");
    block.add(bytes, start, end);
    if ((flags & Flag.END_HEADERS) === 0) return;
    this.#block = undefined;
    const whole = block.joined();
    this.#onHeaderBlock(block.streamId, block.flags, this.#decoder.decode(whole, 0, whole.length));
  }

  #onHeaderBlock(streamId: number, flags: number, block: HeaderBlock): void {
    if (streamId > this.#ids.last) {
      this.#ids.open(streamId);
      this.#onRequest(streamId, flags, block);
      return;
    }
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) this.#onTrailers(stream, flags, block);
    else if (this.#ids.isResetByUs(streamId)) this.#countControlFrame();
    else {
      const code = this.#ids.isPassedOver(streamId) ? ErrorCode.PROTOCOL_ERROR : ErrorCode.STREAM_CLOSED;
      throw new ConnectionError(code, "HEADERS on a stream that is closed");
    }
  }

  #onRequest(streamId: number, flags: number, block: HeaderBlock): void {
    if (this.#state === "retired" || this.#occupied >= this.#bounds.maxConcurrentStreams) {
      // One too many at once is no fault before the client has read how many there may be.
      this.#countControlFrame();
      this.#writeReset(streamId, ErrorCode.REFUSED_STREAM);
      return;
    }
    const isEnd = (flags & Flag.END_STREAM) !== 0;
    const head = this.#headOf(block);
    if (head.fault !== undefined) throw new StreamError(streamId, ErrorCode.PROTOCOL_ERROR, head.fault);
    if (isEnd && head.bodyBytes !== undefined && head.bodyBytes > 0) {
      throw new StreamError(streamId, ErrorCode.PROTOCOL_ERROR, "a body shorter than its content-length");
    }
    const stream = new StreamState({
      id: streamId,
      connection: this,
      head,
      sendBytes: this.#peerWindowBytes,
      beganMs: this.#clock.nowMs,
    });
    this.#streams.add(stream);
    this.#occupied++;
    this.#fieldBytes += stream.fieldBytes;
    if (block.isTooLarge) {
      stream.isWhole = isEnd;
      this.answerOf(stream, { head: TOO_LARGE, body: NO_BYTES });
      return;
    }
    this.#options.onStream(stream);
    if (isEnd) this.#onWhole(stream, NO_BYTES);
  }

  #headOf(block: HeaderBlock): RequestHead {
    if (this.#lastHead?.block === block) return this.#lastHead;
    const head = new RequestHead(block);
    this.#lastHead = block.isRemembered ? head : undefined;
    return head;
  }

  #onTrailers(stream: StreamState, flags: number, block: HeaderBlock): void {
    if (stream.isWhole) throw new StreamError(stream.id, ErrorCode.STREAM_CLOSED, "HEADERS after its end");
    if ((flags & Flag.END_STREAM) === 0)
      throw new StreamError(stream.id, ErrorCode.PROTOCOL_ERROR, "HEADERS in the middle of a body");
    const fault = block.isTooLarge ? undefined : faultOfTrailers(block);
    if (fault !== undefined) throw new StreamError(stream.id, ErrorCode.PROTOCOL_ERROR, fault);
    this.#onWhole(stream, NO_BYTES);
  }

  #onData(frame: Frame): void {
    const { streamId, flags, bytes } = frame;
    if (streamId === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "DATA on no stream");
    const end = paddedEnd(frame);
    const start = (flags & Flag.PADDED) === 0 ? frame.start : frame.start + 1;
    const isEnd = (flags & Flag.END_STREAM) !== 0;
    const flowBytes = frame.end - frame.start;
    if (!this.#receiveWindow.take(flowBytes)) {
      throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "more than the connection's window");
    }
    if (end - start < SMALL_DATA_BYTES && !isEnd) this.#countControlFrame();
    const stream = this.#streams.get(streamId);
    if (stream === undefined || stream.isWhole) {
      this.#consumeOfConnection(flowBytes);
      this.#onStrayFrame(streamId, "DATA");
      if (this.#ids.isResetByUs(streamId)) {
        this.#countControlFrame();
        return;
      }
      throw new StreamError(streamId, ErrorCode.STREAM_CLOSED, "DATA after its end");
    }
    // No window is smaller than a frame, so that a body in one needs none.
    if (!isEnd) stream.receiveWindow ??= new ReceiveWindow(this.#bounds.streamWindowBytes);
    if (stream.receiveWindow !== undefined && !stream.receiveWindow.take(flowBytes)) {
      this.#consumeOfConnection(flowBytes);
      throw new StreamError(streamId, ErrorCode.FLOW_CONTROL_ERROR, "more than its window");
    }
    this.#takeBody(stream, frame, bytes.subarray(start, end));
  }

  #takeBody(stream: StreamState, { flags, start, end }: Frame, body: Buffer): void {
    const isEnd = (flags & Flag.END_STREAM) !== 0;
    const flowBytes = end - start;
    if (stream.bodyBytesLeft !== undefined) stream.bodyBytesLeft -= body.length;
    const isDropped = isUnheard(stream);
    // Of a paced stream the padding is nobody's to consume.
    const paced = stream.isPaced && !isDropped ? body.length : 0;
    stream.unconsumedBytes += paced;
    if (isEnd) this.#consumeOfConnection(flowBytes - paced);
    else if (flowBytes > paced) this.#consume(stream, flowBytes - paced);
    if (
      stream.bodyBytesLeft !== undefined &&
      (stream.bodyBytesLeft < 0 || (isEnd && stream.bodyBytesLeft > 0))
    ) {
      throw new StreamError(stream.id, ErrorCode.PROTOCOL_ERROR, "a body that is not of its content-length");
    }
    if (isEnd) this.#onWhole(stream, body);
    else if (!isDropped && body.length > 0) stream.sink?.onData(body);
  }

  #onWhole(stream: StreamState, last: Buffer): void {
    if (stream.bodyBytesLeft !== undefined && stream.bodyBytesLeft > 0) {
      throw new StreamError(stream.id, ErrorCode.PROTOCOL_ERROR, "a body shorter than its content-length");
    }
    stream.isWhole = true;
    if (!isUnheard(stream)) stream.sink?.onLast(last);
    if (stream.isClosed) this.#forget(stream);
  }

  /** Frames of streams that are none: RFC 9113 5.1. */
  #onStrayFrame(streamId: number, name: string): void {
    if (!this.#ids.isIdle(streamId)) return;
    throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `${name} on a stream that is idle`);
  }

  // The other frames: RFC 9113 6.3 to 6.9.

  #onPriority({ streamId, bytes, start, end }: Frame): void {
    if (streamId === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "PRIORITY on no stream");
    const isWhole = end - start === 5;
    if (isWhole && (bytes.readUInt32BE(start) & MAX_STREAM_ID) !== streamId) return;
    const code = isWhole ? ErrorCode.PROTOCOL_ERROR : ErrorCode.FRAME_SIZE_ERROR;
    const message = isWhole ? "a stream that depends on itself" : "PRIORITY is 5 bytes";
    // RFC 9113 6.4: a stream that is idle must not be reset.
    if (this.#ids.isIdle(streamId)) throw new ConnectionError(code, message);
    throw new StreamError(streamId, code, message);
  }

  #onReset({ streamId, bytes, start, end }: Frame): void {
    if (streamId === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on no stream");
    if (end - start !== 4) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM is 4 bytes");
    this.#onStrayFrame(streamId, "RST_STREAM");
    if (!this.#resets.take()) throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "too many resets");
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    const code = bytes.readUInt32BE(start);
    this.#options.onReset(code, "client");
    this.#abort(stream, code);
  }

  #onSettings({ streamId, flags, bytes, start, end }: Frame): void {
    if (streamId !== 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream");
    if ((flags & Flag.ACK) !== 0) {
      if (end !== start)
        throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement with settings");
      this.#settingsAcknowledged = true;
      return;
    }
    if ((end - start) % 6 !== 0)
      throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of half a setting");
    for (let at = start; at < end; at += 6) {
      if (at > start) this.#countControlFrame();
      this.#applySetting(bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2));
    }
    this.#writer.settingsAcknowledgement();
    // RFC 9113 6.5.3: the acknowledgement comes first.
    this.#sendBlocked();
  }

  #applySetting(setting: number, value: number): void {
    switch (setting) {
      case Setting.HEADER_TABLE_SIZE:
        this.#writer.setMaxTableBytes(value);
        return;
      case Setting.ENABLE_PUSH:
        if (value > 1) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1");
        return;
      case Setting.INITIAL_WINDOW_SIZE:
        this.#resizeWindows(value);
        return;
      case Setting.MAX_FRAME_SIZE:
        if (value < DEFAULT_MAX_FRAME_BYTES || value > 2 ** 24 - 1) {
          throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE out of its range");
        }
        // Larger frames are not used: they would keep the connection from its other streams.
        return;
      default:
      // RFC 9113 6.5.2: what is unknown is ignored, and the rest does not concern a server.
    }
  }

  #resizeWindows(bytes: number): void {
    if (bytes > MAX_WINDOW_BYTES)
      throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "a window above 2^31-1");
    const more = bytes - this.#peerWindowBytes;
    this.#peerWindowBytes = bytes;
    for (const stream of this.#streams.all()) {
      if (!stream.sendWindow.grow(more))
        throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "a window above 2^31-1");
      if (stream.pending.length === 0) continue;
      // As if it had a WINDOW_UPDATE of its own.
      this.#countControlFrame();
      if (stream.sendWindow.available > 0) this.#blocked.add(stream);
    }
  }

  #onPing({ streamId, flags, bytes, start, end }: Frame): void {
    if (streamId !== 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "PING on a stream");
    if (end - start !== 8) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "PING is 8 bytes");
    if ((flags & Flag.ACK) !== 0) {
      if (this.#state === "retiring") this.#retireNow();
      return;
    }
    this.#writer.pingAcknowledgement(bytes.subarray(start, end));
  }

  #onGoaway({ streamId, start, end }: Frame): void {
    if (streamId !== 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream");
    if (end - start < 8) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY is 8 bytes and more");
    if (this.#state === "open" || this.#state === "retiring") this.#retireNow();
  }

  #onWindowUpdate({ streamId, bytes, start, end }: Frame): void {
    if (end - start !== 4) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE is 4 bytes");
    const increment = bytes.readUInt32BE(start) & MAX_STREAM_ID;
    if (streamId === 0) {
      if (increment === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "an increment of 0");
      if (!this.#sendWindow.grow(increment))
        throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "a window above 2^31-1");
      this.#sendBlocked();
      return;
    }
    this.#onStrayFrame(streamId, "WINDOW_UPDATE");
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    if (increment === 0) throw new StreamError(streamId, ErrorCode.PROTOCOL_ERROR, "an increment of 0");
    if (!stream.sendWindow.grow(increment)) {
      throw new StreamError(streamId, ErrorCode.FLOW_CONTROL_ERROR, "a window above 2^31-1");
    }
    if (stream.pending.length > 0) this.#sendPending(stream, Number.POSITIVE_INFINITY);
  }

  // Answers: RFC 9113 8.1, 6.9.

  consumeOf(stream: StreamState, bytes: number): void {
    const consumed = Math.min(bytes, stream.unconsumedBytes);
    stream.unconsumedBytes -= consumed;
    this.#consume(stream, consumed);
  }

  #consume(stream: StreamState, bytes: number): void {
    this.#consumeOfConnection(bytes);
    if (stream.isWhole || stream.receiveWindow === undefined) return;
    const increment = stream.receiveWindow.consume(bytes);
    if (increment > 0) this.#writer.windowUpdate(stream.id, increment);
  }

  #consumeOfConnection(bytes: number): void {
    const increment = this.#receiveWindow.consume(bytes);
    if (increment > 0) this.#writer.windowUpdate(0, increment);
  }

  respondOf(stream: StreamState, fields: Fields): void {
    if (!stream.isClosed) this.#writer.fields(stream.id, 0, fields);
  }

  sendOf(stream: StreamState, bytes: Uint8Array): boolean {
    if (stream.isClosed || bytes.length === 0) return true;
    stream.pending.push(bytes);
    this.#queuedBytes += bytes.length;
    this.#sendPending(stream, Number.POSITIVE_INFINITY);
    return stream.pending.length === 0;
  }

  endOf(stream: StreamState, trailers: Fields | undefined): void {
    this.answerOf(stream, { head: [], body: NO_BYTES, trailers: trailers ?? [] });
  }

  answerOf(stream: StreamState, { head, body, trailers }: WholeAnswer): void {
    if (stream.isAnswered) return;
    stream.isAnswered = true;
    if (stream.isClosed) {
      this.#release(stream);
      return;
    }
    stream.beganMs = this.#clock.nowMs;
    const isHeadOnly = body.length === 0 && trailers === undefined;
    if (head instanceof PreparedFields || head.length > 0) {
      this.#writer.fields(stream.id, isHeadOnly ? Flag.END_STREAM : 0, head);
    }
    if (isHeadOnly) {
      this.#onEndSent(stream);
      return;
    }
    stream.pendingTrailers = trailers;
    if (stream.pending.length === 0 && body.length <= this.#roomFor(stream)) {
      if (body.length > 0) this.#writeData(stream, trailers === undefined ? Flag.END_STREAM : 0, body);
      if (trailers === undefined) this.#onEndSent(stream);
      else this.#sendEnd(stream);
      return;
    }
    if (body.length > 0) {
      stream.pending.push(body);
      this.#queuedBytes += body.length;
    }
    this.#sendPending(stream, Number.POSITIVE_INFINITY);
  }

  /** Bytes that the next DATA frame of the stream may have. */
  #roomFor(stream: StreamState): number {
    if (this.#congestedSinceMs !== undefined) return 0;
    return Math.min(stream.sendWindow.available, this.#sendWindow.available, DEFAULT_MAX_FRAME_BYTES);
  }

  /** As much as the windows let pass, in at most so many frames. */
  #sendPending(stream: StreamState, maxFrames: number): void {
    const { pending } = stream;
    let frames = 0;
    while (pending.length > 0 && frames < maxFrames) {
      const bytes = pending[0] as Uint8Array;
      const length = Math.min(bytes.length, this.#roomFor(stream));
      if (length <= 0) break;
      const isAll = length === bytes.length;
      if (isAll) pending.shift();
      else pending[0] = bytes.subarray(length);
      const isEnd =
        isAll && pending.length === 0 && stream.isAnswered && stream.pendingTrailers === undefined;
      this.#writeData(stream, isEnd ? Flag.END_STREAM : 0, isAll ? bytes : bytes.subarray(0, length));
      this.#queuedBytes -= length;
      frames++;
      if (isEnd) {
        this.#blocked.delete(stream);
        this.#onEndSent(stream);
        return;
      }
    }
    if (pending.length > 0) {
      stream.isHeld = true;
      if (stream.sendWindow.available > 0) this.#blocked.add(stream);
      if (this.queuedBytes > this.#bounds.maxQueuedBytes) this.#shedSoon();
      return;
    }
    this.#blocked.delete(stream);
    if (!stream.isAnswered) {
      const wasHeld = stream.isHeld;
      stream.isHeld = false;
      if (wasHeld) stream.sink?.onDrained?.();
      return;
    }
    this.#sendEnd(stream);
  }

  /** Apart, for the reason that `#flushQueued` gives. */
  #shedSoon(): void {
    queueMicrotask(() => this.shed());
  }

  /** Trailers, if there are any. */
  #sendEnd(stream: StreamState): void {
    const trailers = stream.pendingTrailers ?? [];
    if (trailers instanceof PreparedFields || trailers.length > 0) {
      this.#writer.fields(stream.id, Flag.END_STREAM, trailers);
    } else {
      this.#writer.data(stream.id, Flag.END_STREAM, NO_BYTES);
    }
    this.#onEndSent(stream);
  }

  #writeData(stream: StreamState, flags: number, bytes: Uint8Array): void {
    this.#writer.data(stream.id, flags, bytes);
    stream.sendWindow.available -= bytes.length;
    this.#sendWindow.available -= bytes.length;
    stream.beganMs = this.#clock.nowMs;
  }

  /** One frame of each in turn, so that a large answer does not keep the small ones. */
  #sendBlocked(): void {
    for (const stream of this.#blocked) {
      if (this.#sendWindow.available <= 0 || this.#congestedSinceMs !== undefined) return;
      // Behind the others, if it still waits; then it has its turn in this loop again.
      this.#blocked.delete(stream);
      this.#sendPending(stream, 1);
    }
  }

  #onEndSent(stream: StreamState): void {
    stream.isClosed = true;
    this.#resets.earn(1);
    this.#controlFrames.earn(EARNED_BY_ANSWER);
    if (stream.isWhole) this.#forget(stream);
    // RFC 9113 8.1: after a whole answer the rest of a request may be refused without an error.
    else if (stream.isLate) this.#reset(stream, ErrorCode.NO_ERROR);
  }

  // How streams and the connection end: RFC 9113 5.4, 6.8.

  resetOf(stream: StreamState, code: ErrorCode): void {
    this.#reset(stream, code);
    if (stream.isAnswered) return;
    stream.isAnswered = true;
    this.#release(stream);
  }

  #reset(stream: StreamState, code: ErrorCode): void {
    if (stream.isWhole && stream.isClosed) return;
    this.#writeReset(stream.id, code);
    this.#abort(stream, code);
  }

  #onStreamError({ streamId, code }: StreamError): void {
    if (!this.#resets.take()) throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "too many faults");
    this.#writeReset(streamId, code);
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) this.#abort(stream, code);
  }

  #writeReset(streamId: number, code: ErrorCode): void {
    this.#ids.noteReset(streamId);
    this.#options.onReset(code, "server");
    this.#writer.resetStream(streamId, code);
  }

  /** Nothing more is sent or taken. Its place is free once whoever serves it is done. */
  #abort(stream: StreamState, code: number): void {
    stream.isWhole = true;
    stream.isClosed = true;
    stream.resetCode = code;
    for (const bytes of stream.pending) this.#queuedBytes -= bytes.length;
    stream.pending = [];
    this.#blocked.delete(stream);
    // Refused before anybody served it.
    if (stream.sink === undefined) stream.isAnswered = true;
    this.#forget(stream);
    try {
      stream.sink?.onAborted(code);
    } catch (error) {
      // The others are to be told all the same.
      this.#options.onFault(connectionErrorOf(error));
    }
  }

  #forget(stream: StreamState): void {
    if (!this.#streams.delete(stream)) return;
    this.#fieldBytes -= stream.fieldBytes;
    if (stream.isAnswered) this.#release(stream);
    if (this.#streams.size > 0) return;
    this.#idleSinceMs = this.#clock.nowMs;
    if (this.#state === "retired") this.#goodbye(this.#bounds.bodyTimeoutMs);
  }

  /** Nobody serves it any more, nor will read what is left of its body: that was the connection's, too. */
  #release(stream: StreamState): void {
    this.#occupied--;
    this.#consumeOfConnection(stream.unconsumedBytes);
    stream.unconsumedBytes = 0;
  }

  #retireNow(): void {
    clearTimeout(this.#retiringTimer);
    if (this.#state === "over") return;
    this.#state = "retired";
    this.#writeGoaway(this.#ids.last, ErrorCode.NO_ERROR);
    if (this.#streams.size === 0) this.#goodbye(this.#bounds.bodyTimeoutMs);
  }

  #fail(error: ConnectionError): void {
    if (this.#state === "over") return;
    this.#options.onFault(error);
    this.#writeGoaway(this.#ids.last, error.code);
    this.#goodbye(GOODBYE_MS);
    this.#abortAll();
  }

  /**
   * Writes what is left, and closes once it is taken, or `patienceMs` are over. What still comes is read and dropped, or
   * the client might not get to read why.
   */
  #goodbye(patienceMs: number): void {
    if (this.#state === "over") return;
    this.#state = "over";
    clearTimeout(this.#retiringTimer);
    this.#flush();
    this.#socket.end();
    this.#socket.resume();
    let timer = setTimeout(() => this.#socket.destroy(), patienceMs);
    this.#socket.once("finish", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#socket.destroy(), GOODBYE_MS);
    });
    this.#socket.once("close", () => clearTimeout(timer));
  }

  #onClose(): void {
    this.#state = "over";
    clearTimeout(this.#retiringTimer);
    this.#abortAll();
    this.#options.onEnded();
  }

  #abortAll(): void {
    for (const stream of this.#streams.all()) this.#abort(stream, ErrorCode.CANCEL);
  }

  #writeGoaway(lastStreamId: number, code: ErrorCode): void {
    this.#lastPromisedId = Math.min(this.#lastPromisedId, lastStreamId);
    this.#writer.goaway(this.#lastPromisedId, code);
  }

  // What is written: once a turn.

  /** After what was read is served, or once all that was settled in this turn has been written. */
  #flushSoon(): void {
    if (this.#isReading || this.#isFlushQueued) return;
    this.#isFlushQueued = true;
    process.nextTick(this.#flushQueued);
  }

  /** Made once: a method with a function in it costs an object each time it is entered, even where it returns before. */
  readonly #flushQueued = () => {
    this.#isFlushQueued = false;
    this.#flush();
  };

  #flush(): void {
    if (this.#writer.length === 0 || this.#socket.destroyed || this.#socket.writableEnded) return;
    if (this.#socket.write(this.#writer.take())) return;
    if (this.queuedBytes > this.#bounds.maxQueuedBytes) {
      this.shed();
      return;
    }
    // A client that does not take its answers is not asked for more requests.
    this.#congestedSinceMs ??= this.#clock.nowMs;
    if (this.#state !== "over") this.#socket.pause();
  }

  #onDrain(): void {
    this.#congestedSinceMs = undefined;
    this.#socket.resume();
    try {
      this.#sendBlocked();
    } catch (error) {
      this.#fail(connectionErrorOf(error));
    }
  }
}

/** What a client that reads whole answers may send besides, for each: window updates, a ping now and then. */
const EARNED_BY_ANSWER = 8;

/** What still comes of its body is dropped. Who gives credit himself reads on after his answer, and is told of the end. */
function isUnheard({ sink, isLate, isAnswered, isPaced }: StreamState): boolean {
  return sink === undefined || isLate || (isAnswered && !isPaced);
}

/** Where the payload ends without its padding: RFC 9113 6.1. */
function paddedEnd({ flags, bytes, start, end }: Frame): number {
  if ((flags & Flag.PADDED) === 0) return end;
  const padding = end > start ? (bytes[start] as number) : 1;
  if (padding >= end - start) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "padding beyond the frame");
  return end - padding;
}

function connectionErrorOf(error: unknown): ConnectionError {
  if (error instanceof ConnectionError) return error;
  if (error instanceof HpackError) return new ConnectionError(ErrorCode.COMPRESSION_ERROR, error.message);
  return Object.assign(new ConnectionError(ErrorCode.INTERNAL_ERROR, "a fault of this server"), {
    cause: error,
  });
}
