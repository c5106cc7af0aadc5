import { Flag, FrameType, Setting } from "../../../src/http2/frames.ts";
import { HpackEncoder, maxEncodedBytes } from "../../../src/http2/hpack-encoder.ts";
import { toNodeExchange } from "../../../src/http2/node-stream.ts";
import type { ServerStream } from "../../../src/http2/stream.ts";
import { type Choices, createChoices } from "../../exact/choices.ts";
import { frame, opening, padded, ping, type RawFrame, rstStream, uint32 } from "./frame-bytes.ts";
import { openWire, served } from "./memory-wire.ts";
import { createReader, type RawAnswer } from "./raw-exchange.ts";

const WINDOW_BYTES = 65_535;
const MAX_STREAMS = 4;
const REQUEST = [":method", "POST", ":scheme", "http", ":path", "/fuzz", ":authority", "x"];

/** What a run has come to; for those who look whether it reaches everything. */
export type Ended = "alive" | "ended";

/**
 * Sends frames by chance to an engine of its own whose streams are served in all manners, in pieces by chance. Throws an
 * Error where the engine has a fault of its own, hangs, says what it may not, or keeps something.
 */
export async function fuzzFrames(seed: number): Promise<Ended> {
  const choices = createChoices(seed, 0);
  const unfinished: (() => void)[] = [];
  const wire = openWire({
    onStream: (stream) => serveSomehow(stream, { choices, unfinished }),
    bounds: {
      maxConcurrentStreams: MAX_STREAMS,
      connectionWindowBytes: WINDOW_BYTES,
      maxQueuedBytes: 1_000_000,
    },
  });
  const frames = randomFrames(choices);
  const bytes = opening(...frames);
  const isMutated = choices.chance(0.3);
  if (isMutated) mutate(bytes, choices);

  for (const piece of inPieces(bytes, choices)) {
    wire.socket.push(piece);
    if (choices.chance(0.1)) await served();
  }
  await served();
  const isAlive = await answersPing();
  if (isAlive && !isMutated) {
    finishAll();
    for (const id of new Set(frames.map(({ streamId }) => streamId))) {
      if (id % 2 === 1 && id <= highestOf(frames)) await wire.send(rstStream(id, 8));
    }
    finishAll();
    await served();
    if (await answersPing()) {
      const { engine } = wire;
      if (engine.queuedBytes() !== 0) throw new Error(`${engine.queuedBytes()} bytes are queued for nobody`);
      await requireCredit();
      await requirePlaces();
    }
  }
  // Whatever answers has to be such as a client can read.
  readAll();
  await wire.close();
  const left = [wire.engine.connections(), wire.engine.streams(), wire.engine.queuedBytes()];
  if (left.some((count) => count !== 0)) throw new Error(`left behind: ${left.join(", ")}`);
  const own = wire.faults.find(({ code }) => code === 2);
  if (own !== undefined) throw new Error("a fault of the engine's own", { cause: own.cause });
  return isAlive ? "alive" : "ended";

  /** Whoever still serves a stream is done with it, one way or another. */
  function finishAll(): void {
    for (const finish of unfinished.splice(0)) finish();
  }

  /** False: the connection has ended, with a GOAWAY. */
  async function answersPing(): Promise<boolean> {
    const before = pongs();
    await wire.send(ping("alive?"));
    if (pongs() > before) return true;
    // It may be within a frame that was promised longer than it is: it has to end with what is none.
    if (!wire.socket.writableEnded) await wire.send(Buffer.alloc(17_000));
    if (!wire.socket.writableEnded) throw new Error("it neither answers nor ends");
    if (!wire.frames().some(({ type }) => type === FrameType.GOAWAY))
      throw new Error("it ended without GOAWAY");
    return false;
  }

  function pongs(): number {
    return wire.frames().filter(({ type, flags }) => type === FrameType.PING && (flags & Flag.ACK) !== 0)
      .length;
  }

  /** All bodies are done with: once the connection's window is given back, all of it has to be the client's again. */
  async function requireCredit(): Promise<void> {
    const updates = () =>
      wire.frames().filter(({ type, streamId }) => type === FrameType.WINDOW_UPDATE && streamId === 0);
    const given = () => updates().reduce((sum, { payload }) => sum + payload.readUInt32BE(), 0);
    let sent = frames.reduce(
      (sum, { type, payload }) => (type === FrameType.DATA ? sum + payload.length : sum),
      0,
    );
    const before = updates().length;
    // Of a stream that is over; at half a window the engine tells.
    const streamId = highestOf(frames);
    while (updates().length === before) {
      const payload = Buffer.alloc(Math.min(4096, WINDOW_BYTES + given() - sent));
      if (payload.length === 0) throw new Error("the connection's window is lost");
      await wire.send(frame(FrameType.DATA, { streamId, payload }));
      sent += payload.length;
    }
    if (given() !== sent) throw new Error(`${sent - given()} bytes of the connection's window are lost`);
  }

  /** All streams are done with: as many as may be have to be taken. */
  async function requirePlaces(): Promise<void> {
    if (wire.frames().some(({ type }) => type === FrameType.GOAWAY)) return;
    const first = highestOf(frames) + 2;
    const before = wire.resets.length;
    const block = Buffer.from("838684410178", "hex");
    for (let nth = 0; nth < MAX_STREAMS; nth++) {
      await wire.send(
        frame(FrameType.HEADERS, { streamId: first + 2 * nth, flags: Flag.END_HEADERS, payload: block }),
      );
    }
    if (wire.resets.slice(before).some(({ code, by }) => code === 7 && by === "server")) {
      throw new Error("places of streams are lost");
    }
  }

  function readAll(): void {
    const answers = new Map<number, RawAnswer>();
    createReader({ answers, pings: [], goaways: [] })(Buffer.concat(wire.socket.written));
  }
}

function highestOf(frames: readonly RawFrame[]): number {
  return Math.max(
    -1,
    ...frames
      .filter(({ type, streamId }) => type === FrameType.HEADERS && streamId % 2 === 1)
      .map((each) => each.streamId),
  );
}

/** In one of the manners in which a stream may be served, some of them wrong. */
function serveSomehow(stream: ServerStream, by: { choices: Choices; unfinished: (() => void)[] }): void {
  const { choices, unfinished } = by;
  const answer = () => {
    const body = Buffer.alloc(choices.oneOf([0, 1, 1000, 100_000]));
    const trailers = choices.oneOf([undefined, [], ["grpc-status", "0"]]);
    stream.answer({ head: [":status", "200", "x-a", "b"], body, trailers });
  };
  const reset = () => stream.reset(8);
  const ignore = () => {};
  const manner = choices.below(9);
  if (manner === 0) {
    const { request, response } = toNodeExchange(stream);
    request.on("error", ignore);
    request.pipe(response).on("error", ignore);
    return;
  }
  if (manner === 1) {
    const { response } = toNodeExchange(stream);
    response.on("error", ignore);
    response.writeHead(choices.oneOf([200, 204, 404]));
    response.end("unread");
    return;
  }
  if (manner === 2) {
    const { request, response } = toNodeExchange(stream);
    for (const each of [request, response]) each.on("error", ignore);
    unfinished.push(
      () => response.end("late"),
      () => request.stream.destroy(),
    );
    return;
  }
  const acts: (() => void)[] = [
    answer,
    reset,
    () => setImmediate(answer),
    () => {
      stream.respond([":status", "200"]);
      while (stream.send(Buffer.alloc(30_000)) && choices.chance(0.8));
      unfinished.push(() => stream.end(["x", "y"]), reset);
    },
    () => unfinished.push(answer),
    ignore,
  ];
  const now = choices.oneOf(acts);
  const moment = choices.oneOf(["onStream", "onData", "onLast", "onAborted", "onLast", "onLast"] as const);
  const isPaced = choices.chance(0.3);
  stream.receive(
    {
      onData(bytes) {
        if (isPaced && choices.chance(0.5)) stream.consume(bytes.length);
        if (moment === "onData") now();
      },
      onLast() {
        if (moment === "onLast") now();
        else unfinished.push(answer);
      },
      onAborted() {
        if (moment === "onAborted") now();
        unfinished.push(reset);
      },
      onDrained: choices.oneOf([ignore, answer, reset, ignore]),
    },
    { isPaced },
  );
  if (moment === "onStream") now();
}

/** Mostly as they should be, each with a chance to be not. */
function randomFrames(choices: Choices): RawFrame[] {
  const encoder = new HpackEncoder();
  const frames: RawFrame[] = [];
  let nextId = 1;
  const length = 3 + choices.below(40);
  // How much is wrong with them, of all frames.
  const wrong = choices.oneOf([0, 0, 0.02, 0.2]);
  for (let nth = 0; nth < length; nth++) {
    const known = choices.chance(wrong)
      ? choices.below(12)
      : 1 + 2 * choices.below(Math.max(1, (nextId - 1) / 2));
    const flags = choices.chance(wrong) ? choices.below(256) : 0;
    const end = choices.chance(0.4) ? Flag.END_STREAM : 0;
    if (nextId === 1 || choices.chance(0.3)) {
      frames.push(...requestFrames({ choices, encoder, streamId: nextId, flags: flags | end, wrong }));
      nextId += choices.chance(0.05) ? 4 : 2;
      continue;
    }
    frames.push(otherFrame({ choices, streamId: known, flags, end, wrong }));
  }
  return frames;
}

interface ForOne {
  readonly choices: Choices;
  readonly streamId: number;
  readonly flags: number;
  readonly wrong: number;
}

/** HEADERS and their CONTINUATION frames. */
function requestFrames({
  choices,
  encoder,
  streamId,
  flags,
  wrong,
}: ForOne & { encoder: HpackEncoder }): RawFrame[] {
  const more = choices.oneOf([
    [],
    ["content-length", "5"],
    ["content-type", "a/b"],
    ["x-y", "z".repeat(choices.below(300))],
  ]);
  const fields = choices.chance(wrong)
    ? choices.oneOf([more, [...REQUEST, "A", "b"], ["te", "x"]])
    : [...REQUEST, ...more];
  let payload: Buffer = Buffer.alloc(maxEncodedBytes(fields));
  payload = payload.subarray(0, encoder.encode(fields, payload, 0));
  if (choices.chance(wrong / 4)) payload = randomBytes(choices, 40);
  let first = flags;
  let lead: Buffer = Buffer.alloc(0);
  if (choices.chance(0.2)) {
    first |= Flag.PRIORITY;
    lead = Buffer.concat([uint32(choices.chance(wrong) ? streamId : 0), Buffer.from([16])]);
  }
  const cut = choices.chance(0.3) ? choices.below(payload.length + 1) : payload.length;
  let head: Buffer = Buffer.concat([lead, payload.subarray(0, cut)]);
  if (choices.chance(0.2)) {
    first |= Flag.PADDED;
    head = padded(head, choices.below(100));
  }
  const isCut = cut < payload.length;
  if (!isCut) first |= Flag.END_HEADERS;
  const frames = [frame(FrameType.HEADERS, { streamId, flags: first, payload: head })];
  const flagsOfLast = choices.chance(wrong) ? 0 : Flag.END_HEADERS;
  if (isCut)
    frames.push(
      frame(FrameType.CONTINUATION, { streamId, flags: flagsOfLast, payload: payload.subarray(cut) }),
    );
  return frames;
}

function otherFrame({ choices, streamId, flags, end, wrong }: ForOne & { end: number }): RawFrame {
  const length = (right: number) => (choices.chance(wrong) ? choices.below(12) : right);
  const type = choices.chance(wrong)
    ? choices.below(12)
    : choices.oneOf([0, 0, 0, 0, 2, 3, 4, 6, 8, 8, 0x40]);
  switch (type) {
    case FrameType.DATA: {
      const body = Buffer.alloc(choices.oneOf([0, 1, 5, 100, 3000]));
      if (choices.chance(0.8)) return frame(type, { streamId, flags: flags | end, payload: body });
      return frame(type, {
        streamId,
        flags: flags | end | Flag.PADDED,
        payload: padded(body, choices.below(256)),
      });
    }
    case FrameType.SETTINGS: {
      const setting = choices.oneOf([...Object.values(Setting), 0x77]);
      const value = choices.oneOf([
        0,
        1,
        100,
        16_384,
        65_535,
        100_000,
        ...(choices.chance(wrong) ? [2 ** 32 - 1] : []),
      ]);
      const payload = Buffer.alloc(length(6));
      if (payload.length >= 6) {
        payload.writeUInt16BE(setting);
        payload.writeUInt32BE(
          setting === Setting.ENABLE_PUSH ? value % 2 : Math.max(value, setting === 5 ? 16_384 : 0),
          2,
        );
      }
      return frame(type, { streamId: choices.chance(wrong) ? streamId : 0, flags, payload });
    }
    case FrameType.PING:
      return frame(type, {
        streamId: choices.chance(wrong) ? streamId : 0,
        flags,
        payload: randomBytes(choices, length(8)),
      });
    case FrameType.WINDOW_UPDATE: {
      const payload = Buffer.alloc(length(4));
      const increment = choices.oneOf([1, 100, 100_000, ...(choices.chance(wrong) ? [0, 2 ** 31 - 1] : [])]);
      if (payload.length >= 4) payload.writeUInt32BE(increment);
      return frame(type, { streamId: choices.chance(0.4) ? 0 : streamId, flags, payload });
    }
    case FrameType.RST_STREAM:
      return frame(type, { streamId, flags, payload: Buffer.alloc(length(4), 8) });
    case FrameType.PRIORITY:
      return frame(type, { streamId, flags, payload: Buffer.alloc(length(5)) });
    default:
      return frame(type, { streamId, flags, payload: randomBytes(choices, choices.below(20)) });
  }
}

function randomBytes(choices: Choices, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => choices.below(256)));
}

/** Some bytes after the preface are others. */
function mutate(bytes: Buffer, choices: Choices): void {
  const preface = 24;
  for (let times = 1 + choices.below(5); times > 0; times--) {
    bytes[preface + choices.below(bytes.length - preface)] = choices.below(256);
  }
}

function inPieces(bytes: Buffer, choices: Choices): Buffer[] {
  const most = choices.oneOf([1, 3, 50, 5000, bytes.length]);
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const next = at + 1 + choices.below(most);
    pieces.push(bytes.subarray(at, next));
    at = next;
  }
  return pieces;
}
