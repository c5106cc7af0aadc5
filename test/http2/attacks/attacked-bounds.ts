import type { ListenerBounds } from "../../../src/http2/listener.ts";

/** Small, and without anything that time gives back: after how many frames a connection ends is then exact. */
export const ATTACKED_BOUNDS = {
  maxConcurrentStreams: 100,
  resets: { burst: 100, perSecond: 0 },
  controlFrames: { burst: 1000, perSecond: 0 },
  maxQueuedBytes: 4 * 1024 * 1024,
  headerTimeoutMs: 500,
  bodyTimeoutMs: 1000,
} satisfies Partial<ListenerBounds>;
