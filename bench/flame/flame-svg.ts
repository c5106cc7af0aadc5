import type { Frame } from "./frame-tree.ts";
import { costByStep } from "./step-table.ts";
import { type Step, steps } from "./steps.ts";

const WIDTH = 1200;
/** Left and right of the graph. */
const MARGIN = 20;
const GRAPH = WIDTH - 2 * MARGIN;
/** The steps and their costs, in columns below the title. */
const LEGEND_Y = 82;
const LEGEND_ROW = 20;
const LEGEND_COLUMNS = 3;
/** From a frame to the one that it called. */
const ROW = 18;
/** The widest that a letter of a monospaced font of 11 px is. */
const LETTER = 6.8;
/** Of the whole: narrower frames are left out. */
const LEAST_SHARE = 0.001;
/** Shorter names say nothing. */
const LEAST_LETTERS = 3;

/** Light enough for dark letters, on a light page and on a dark one. */
const colours: Readonly<Record<Step, string>> = {
  http2: "#8ec5ff",
  codecs: "#7fdbca",
  rpc: "#b4e58b",
  core: "#ffd866",
  replica: "#ffb86b",
  redis: "#ffa8b4",
  points: "#f7a8d8",
  postgres: "#c9b6ff",
  other: "#d8c9b8",
  node: "#c4ccd4",
  collection: "#e5786d",
  threads: "#9fb0d9",
};

/** Of the page around the graph: where the reader prefers light, and where dark. */
const page = {
  light: ".card{fill:#fff;stroke:#d1d9e0}.ink{fill:#1f2328}.quiet{fill:#59636e}",
  dark: ".card{fill:#0d1117;stroke:#3d444d}.ink{fill:#f0f6fc}.quiet{fill:#9198a1}",
};

interface Box {
  readonly frame: Frame;
  /** From the left of the graph, in microseconds. */
  readonly fromUs: number;
  /** The root's is 0. */
  readonly depth: number;
}

/**
 * A flame graph that stands by itself and runs nothing: each box a function, on top of the one that called it,
 * as wide as its cost; the name in full and the cost are its tooltip. The same bytes for the same tree.
 */
export function flameSvg(root: Frame): string {
  const boxes = boxesOf({ frame: root, fromUs: 0, depth: 0 }, root.totalUs * LEAST_SHARE);
  const legendRows = Math.ceil(Object.keys(steps).length / LEGEND_COLUMNS);
  const depth = Math.max(...boxes.map((box) => box.depth));
  const floor = LEGEND_Y + legendRows * LEGEND_ROW + depth * ROW;
  const height = floor + ROW + MARGIN;
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    "<title>The CPU time of a Check</title>",
    `<style>${style()}</style>`,
    `<rect class="card" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8"/>`,
    text({ x: MARGIN, y: 32, of: "ink title" }, `A Check: ${microseconds(root.totalUs)} of CPU`),
    text(
      { x: MARGIN, y: 53, of: "quiet" },
      "Each box is a function, on top of the one that called it and as wide as its CPU time with all that it calls. A step's time is that of its own functions.",
    ),
    ...legend(root),
    ...boxes.map((box) => drawn(box, { usPerPixel: root.totalUs / GRAPH, wholeUs: root.totalUs, floor })),
    "</svg>",
  ].join("\n")}\n`;
}

/** The box, and those of all that it called. */
function boxesOf(box: Box, leastUs: number): Box[] {
  let fromUs = box.fromUs;
  const called = box.frame.children.flatMap((frame) => {
    const child = { frame, fromUs, depth: box.depth + 1 };
    fromUs += frame.totalUs;
    return frame.totalUs < leastUs ? [] : boxesOf(child, leastUs);
  });
  return [box, ...called];
}

function drawn(
  { frame, fromUs, depth }: Box,
  { usPerPixel, wholeUs, floor }: { usPerPixel: number; wholeUs: number; floor: number },
): string {
  const x = MARGIN + fromUs / usPerPixel;
  const width = frame.totalUs / usPerPixel;
  const y = floor - depth * ROW;
  const share = `${((frame.totalUs / wholeUs) * 100).toFixed(1)} %`;
  const place = frame.file === "" ? "" : ` (${frame.file})`;
  const name = fitting(frame.name, Math.floor((width - 6) / LETTER));
  return [
    `<g><title>${escape(`${frame.name}${place}: ${microseconds(frame.totalUs)}, ${share}`)}</title>`,
    // Half a pixel between neighbours.
    `<rect class="${frame.step}" x="${decimal(x)}" y="${y}" width="${decimal(Math.max(width - 0.5, 0.5))}" height="${ROW - 1}"/>`,
    name === "" ? "" : text({ x: decimal(x + 3), y: y + 12.5, of: "name" }, name),
    "</g>",
  ].join("");
}

function legend(root: Frame): string[] {
  return [...costByStep(root)].flatMap(([step, us], index) => {
    const x = MARGIN + (index % LEGEND_COLUMNS) * (GRAPH / LEGEND_COLUMNS);
    const y = LEGEND_Y + Math.floor(index / LEGEND_COLUMNS) * LEGEND_ROW;
    return [
      `<rect class="${step}" x="${decimal(x)}" y="${y - 11}" width="14" height="14" rx="2"/>`,
      text({ x: decimal(x + 20), y, of: "ink" }, `${microseconds(us)} ${steps[step]}`),
    ];
  });
}

/** As much of a name as so many letters show; empty when that says nothing. */
function fitting(name: string, letters: number): string {
  if (name.length <= letters) return name;
  return letters < LEAST_LETTERS ? "" : `${name.slice(0, letters - 1)}…`;
}

function style(): string {
  const fills = Object.entries(colours).map(([step, colour]) => `.${step}{fill:${colour}}`);
  return [
    'text{font:12.5px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}',
    ".title{font-size:16px;font-weight:600}",
    ".name{font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#1f2328}",
    ...fills,
    page.light,
    `@media(prefers-color-scheme:dark){${page.dark}}`,
  ].join("");
}

function text(at: { x: number | string; y: number; of: string }, words: string): string {
  return `<text class="${at.of}" x="${at.x}" y="${at.y}">${escape(words)}</text>`;
}

function microseconds(us: number): string {
  return `${us.toFixed(2)} µs`;
}

/** To a tenth of a pixel. */
function decimal(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** A function may be called anything, also what XML cannot hold. */
function escape(words: string): string {
  return words
    .replaceAll(/[^\P{C}]/gu, "\ufffd")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");
}
