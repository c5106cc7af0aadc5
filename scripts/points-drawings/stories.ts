import type { DecidedRequest, Note, Story, StoryRun } from "./story.ts";

const windowMs = 60_000;
const points = 10;
const lastsMs = 130_000;

/** Two requests, ten soon before a minute is over, ten soon after, and then one each four seconds. */
const demandMs = [
  0,
  20_000,
  ...every(1500, 45_000, 10),
  ...every(1500, 61_000, 10),
  ...every(4000, 82_000, 12),
];

export const stories: readonly Story[] = [
  {
    name: "sliding",
    title: "sliding: 10 points per 60 s",
    subtitle: "A charge counts for 60 s from when it was made, so no 60 s ever hold more than 10 points.",
    limit: { shape: "sliding", points, windowMs, blockMs: 0 },
    requestsMs: demandMs,
    lastsMs,
    notes(run) {
      const refused = firstRefused(run, windowMs);
      const wait = waitOf(refused);
      const chargesMs = admittedIn(run, refused.atMs - windowMs, refused.atMs);
      const oldestMs = chargesMs[0] as number;
      return [
        {
          kind: "interval",
          fromMs: refused.atMs - windowMs,
          toMs: refused.atMs,
          chargesMs,
          text: `the 60 s before a refusal hold ${chargesMs.length} points`,
        },
        {
          kind: "charge",
          fromMs: oldestMs,
          toMs: oldestMs + windowMs,
          chargesMs: [oldestMs],
          text: "the oldest of them counts for 60 s",
        },
        { ...wait, text: `${wait.text}: when its point is back` },
      ];
    },
  },
  {
    name: "fixed",
    title: "fixed: 10 points per 60 s",
    subtitle: "A window starts with its first charge and lasts 60 s. Then all points are back at once.",
    limit: { shape: "fixed", points, windowMs, blockMs: 0 },
    requestsMs: demandMs,
    lastsMs,
    notes(run) {
      const wait = waitOf(firstRefused(run, 0));
      const fullest = fullestWindow(run);
      const held = fullest.chargesMs.length;
      return [
        ...fixedWindows(run),
        wait,
        { ...fullest, text: `these 60 s, across the edge, hold ${held} points` },
      ];
    },
  },
  {
    name: "bucket",
    title: "bucket: 10 points per 60 s",
    subtitle: "All 10 points may be spent at once. Then they flow back smoothly, one each 6 s.",
    limit: { shape: "bucket", points, windowMs, blockMs: 0 },
    requestsMs: demandMs,
    lastsMs,
    notes(run) {
      const wait = waitOf(firstRefused(run, 0));
      const fullest = fullestWindow(run);
      const held = fullest.chargesMs.length;
      return [wait, { ...fullest, text: `these 60 s hold ${held} points: ${points}, and what flowed back` }];
    },
  },
  {
    name: "block",
    title: "sliding: 10 points per 60 s, block 90 s",
    subtitle:
      "The call that would exceed the limit starts the block. Until it ends each call is refused, and charges nothing.",
    limit: { shape: "sliding", points, windowMs, blockMs: 90_000 },
    requestsMs: every(2000, 0, 65),
    lastsMs,
    notes(run) {
      const first = waitOf(firstRefused(run, 0));
      const later = waitOf(firstRefused(run, 79_000));
      return [
        { ...first, kind: "block", text: "blocked" },
        { ...first, text: `${first.text}: when the block ends` },
        { ...later, text: `${later.text}: refused calls do not extend it` },
      ];
    },
  },
];

function every(stepMs: number, fromMs: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => fromMs + index * stepMs);
}

function firstRefused({ requests }: StoryRun, fromMs: number): DecidedRequest {
  const refused = requests.find(({ atMs, outcome }) => atMs >= fromMs && outcome !== "admitted");
  if (refused === undefined) throw new Error(`nothing is refused after ${fromMs} ms`);
  return refused;
}

function waitOf({ atMs, retryAfterMs }: DecidedRequest) {
  return {
    kind: "wait",
    fromMs: atMs,
    toMs: atMs + retryAfterMs,
    text: `retry_after ${seconds(retryAfterMs)}`,
  } as const;
}

/** After the one moment, and up to the other or in it. */
function admittedIn({ requests }: StoryRun, afterMs: number, upToMs: number): number[] {
  return requests
    .filter(({ atMs, outcome }) => outcome === "admitted" && atMs > afterMs && atMs <= upToMs)
    .map(({ atMs }) => atMs);
}

/** The interval of the window's length, half open, with the most points; of several the first. */
function fullestWindow(run: StoryRun) {
  const intervals = admittedIn(run, -1, lastsMs).map((fromMs) => ({
    kind: "interval" as const,
    fromMs,
    toMs: fromMs + windowMs,
    chargesMs: admittedIn(run, fromMs - 1, fromMs + windowMs - 1),
  }));
  return intervals.reduce((best, interval) =>
    interval.chargesMs.length > best.chargesMs.length ? interval : best,
  );
}

/** From the first request that is admitted when no window is under way, and so on. */
function fixedWindows({ requests }: StoryRun): Note[] {
  const windows: Note[] = [];
  let endMs = 0;
  for (const { atMs, outcome } of requests) {
    if (outcome !== "admitted" || atMs < endMs) continue;
    endMs = atMs + windowMs;
    windows.push({ kind: "window", fromMs: atMs, toMs: endMs, text: `window ${windows.length + 1}` });
  }
  return windows;
}

function seconds(ms: number): string {
  return `${ms / 1000} s`;
}
