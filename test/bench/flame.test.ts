import { Session } from "node:inspector/promises";
import { expect, test } from "vitest";
import { type CpuProfile, samplesBetween } from "../../bench/flame/cpu-profile.ts";
import { flameSvg } from "../../bench/flame/flame-svg.ts";
import { type CheckCost, type Frame, frameTree } from "../../bench/flame/frame-tree.ts";
import { costByStep, stepTable } from "../../bench/flame/step-table.ts";
import { stepOf } from "../../bench/flame/steps.ts";
import { sumThreads } from "../../bench/flame/thread-seconds.ts";

/** A function's name, its file, how many samples found it, and what it called. */
type Called = readonly [name: string, url: string, samples: number, ...called: Called[]];

const dist = "file:///srv/tollgate/dist";
const cost: CheckCost = { fromUs: 0, untilUs: Number.POSITIVE_INFINITY, mainThreadUs: 20, otherThreadsUs: 5 };

/** One sample a millisecond. */
function profileOf(root: Called): CpuProfile {
  const nodes: CpuProfile["nodes"][number][] = [];
  const samples: number[] = [];
  const add = ([functionName, url, count, ...called]: Called): number => {
    const id = nodes.length + 1;
    const children: number[] = [];
    nodes.push({ id, callFrame: { functionName, url, lineNumber: 0 }, children });
    samples.push(...Array.from({ length: count }, () => id));
    for (const one of called) children.push(add(one));
    return id;
  };
  add(root);
  return { nodes, samples, timeDeltas: samples.map(() => 1000), startTime: 0 };
}

function costsOf(...called: Called[]): Record<string, number> {
  const costs = costByStep(frameTree(profileOf(["(root)", "", 0, ...called]), cost));
  return Object.fromEntries([...costs].filter(([, us]) => us > 0));
}

test("a sample belongs to the first function above it that is part of a step", () => {
  const costs = costsOf([
    "onStreamRead",
    "node:internal/stream_base_commons",
    1,
    [
      "read",
      `${dist}/http2/connection.js`,
      2,
      ["emit", "node:events", 1],
      [
        "check",
        `${dist}/core/authorizer.js`,
        3,
        [
          "get",
          `${dist}/replica/coherent-cache.js`,
          1,
          ["get", "file:///x/node_modules/lru-cache/dist/a.js", 2],
        ],
      ],
    ],
  ]);
  expect(costs).toEqual({ node: 2, http2: 6, core: 6, replica: 6, threads: 5 });
});

test.each([
  ["http2/hpack-decoder.js", "http2"],
  ["wire/wire-reader.js", "codecs"],
  ["rpc/check-codec.js", "codecs"],
  ["redis/take-codec.js", "redis"],
  ["rpc/authentication.js", "rpc"],
  ["log.js", "rpc"],
  ["metrics.js", "rpc"],
  ["policy/compile-gate.js", "core"],
  ["points/breaker.js", "points"],
  ["postgres/key-store.js", "postgres"],
  ["app.js", "other"],
])("dist/%s is part of the step %s", (path, step) => {
  expect(stepOf({ functionName: "f", url: `${dist}/${path}`, lineNumber: 0 })).toBe(step);
});

test.each([
  ["file:///x/node_modules/ioredis/built/Redis.js", "redis"],
  ["file:///x/node_modules/prom-client/lib/counter.js", "rpc"],
  ["file:///x/node_modules/postgres/src/connection.js", "postgres"],
  ["file:///x/node_modules/@bufbuild/protobuf/dist/esm/create.js", undefined],
  ["file:///srv/dist/node_modules/lru-cache/dist/http2/a.js", undefined],
  ["node:net", "node"],
  ["node:internal/process/task_queues", "node"],
  ["node:buffer", undefined],
  ["node:internal/crypto/hash", undefined],
  ["", undefined],
])("%s is part of the step %s", (url, step) => {
  expect(stepOf({ functionName: "f", url, lineNumber: 0 })).toBe(step);
});

test("an idle main thread costs nothing, and what V8 and the kernel do for nobody is told apart", () => {
  const costs = costsOf(
    ["(idle)", "", 90],
    ["(garbage collector)", "", 5],
    ["(program)", "", 3],
    ["main", `${dist}/main.js`, 2],
  );
  expect(costs).toEqual({ collection: 10, node: 6, other: 4, threads: 5 });
});

test("samples of before and after the load do not count", () => {
  const profile: CpuProfile = {
    ...profileOf(["(root)", "", 0]),
    samples: [1, 1, 2, 3, 3],
    timeDeltas: [10, 10, 10, 10, 10],
    startTime: 100,
  };
  expect(samplesBetween(profile, { fromUs: 120, untilUs: 150 })).toEqual(
    new Map([
      [1, 1],
      [2, 1],
      [3, 1],
    ]),
  );
  expect(() => samplesBetween(profile, { fromUs: 200, untilUs: 300 })).toThrow("no samples");
});

test("V8 dates its profiles by the clock that the load is timed with", async () => {
  const nowUs = () => Number(process.hrtime.bigint() / 1000n);
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  const fromUs = nowUs();
  await session.post("Profiler.start");
  const { profile } = await session.post("Profiler.stop");
  session.disconnect();
  expect(profile.startTime).toBeGreaterThanOrEqual(fromUs);
  expect(profile.endTime).toBeLessThanOrEqual(nowUs());
});

test("a function that V8 compiled twice is one frame, with all that either called", () => {
  const url = `${dist}/http2/connection.js`;
  const root = frameTree(
    profileOf([
      "(root)",
      "",
      0,
      ["read", url, 1, ["parse", url, 2]],
      ["read", url, 3, ["parse", url, 3], ["flush", url, 1]],
    ]),
    cost,
  );
  const shown = ({ name, selfUs, totalUs, children }: Frame): unknown => [
    name,
    selfUs,
    totalUs,
    children.map(shown),
  ];
  expect(shown(root)).toEqual([
    "a Check",
    0,
    25,
    [
      [
        "read",
        8,
        20,
        [
          ["flush", 2, 2, []],
          ["parse", 10, 10, []],
        ],
      ],
      ["(other threads)", 5, 5, []],
    ],
  ]);
});

test("the profiler's own thread is no cost of a Check", () => {
  const stat = (thread: number, name: string, ticks: number) =>
    `${thread} (${name}) S 1 2 3 4 5 6 7 8 9 10 ${ticks} 0 7 7 20 0 1 0 100`;
  const stats = [
    stat(420, "node", 300),
    stat(42, "node", 100),
    stat(43, "v8:ProfEvntProc", 70),
    stat(44, "node", 25),
  ];
  expect(sumThreads(42, stats)).toEqual({ main: 1, others: 3.25 });
});

const someProfile = profileOf([
  "(root)",
  "",
  0,
  ["(garbage collector)", "", 100],
  ["processImmediate", "node:internal/timers", 100, ["flush", `${dist}/redis/redis-buckets.js`, 1800]],
  ["<b>&\u0007", `${dist}/http2/connection.js`, 1999],
  ["rare", `${dist}/http2/connection.js`, 1],
]);

test("the table gives each step's cost and share, and their sum", () => {
  const rows = stepTable(frameTree(someProfile, cost)).replaceAll(/ +/g, " ").split("\n");
  expect(rows).toContain("| http2: frames, HPACK, streams | 10.00 | 40.0 |");
  expect(rows).toContain("| redis: encode, send, read | 9.00 | 36.0 |");
  expect(rows).toContain("| other threads: garbage collection, compiler | 5.00 | 20.0 |");
  expect(rows.at(-1)).toBe("| all | 25.00 | 100.0 |");
});

test("the picture shows each function as wide as its cost, and leaves out what is not to be seen", () => {
  const svg = flameSvg(frameTree(someProfile, cost));
  expect(svg).toContain(
    '<g><title>flush (dist/redis/redis-buckets.js): 9.00 µs, 36.0 %</title><rect class="redis" x="',
  );
  expect(svg).toMatch(
    /flush \(dist[^>]*><rect class="redis" x="[\d.]+" y="\d+" width="417.1" height="17"\/>/,
  );
  expect(svg).toContain("A Check: 25.00 µs of CPU");
  expect(svg).not.toContain("rare");
});

test("the picture escapes names, and shows no folder of the machine", () => {
  const svg = flameSvg(frameTree(someProfile, cost));
  expect(svg).toContain("<title>&lt;b&gt;&amp;\ufffd (dist/http2/connection.js)");
  expect(svg).not.toMatch(/<b>|\u0007|srv\/tollgate/);
});

test("the picture stands by itself: light and dark, and it loads and runs nothing", () => {
  const svg = flameSvg(frameTree(someProfile, cost));
  expect(svg).toContain("prefers-color-scheme:dark");
  expect(svg.replace('xmlns="http://www.w3.org/2000/svg"', "")).not.toMatch(/https?:|<script|<image|@import/);
});

test("one profile makes one picture, in whatever order V8 wrote its nodes", () => {
  const [root, ...nodes] = someProfile.nodes;
  const turned = {
    ...someProfile,
    nodes: [{ ...root, children: root?.children?.toReversed() }, ...nodes.toReversed()],
  } as CpuProfile;
  expect(flameSvg(frameTree(turned, cost))).toBe(flameSvg(frameTree(someProfile, cost)));
});
