import type { DecidedRequest, Note, Story, StoryRun } from "./story.ts";

const WIDTH = 880;
const LEFT = 92;
const RIGHT = 848;
/** Rows of the requests' marks. */
const ADMITTED_Y = 84;
const REFUSED_Y = 106;
/** The plot of the spent points. */
const TOP = 126;
const BOTTOM = 262;
/** Above the limit, so that its line is not the frame. */
const HEADROOM = 1.25;
/** The first row of notes below the time axis, and from row to row. */
const NOTES_Y = 322;
const NOTE_ROW = 38;
/** The widest that a letter is on average, whatever the font. */
const LETTER = 7;
const TICK_MS = 10_000;

/** Class, property, and its colour where the reader prefers light and where dark. */
const colours: readonly (readonly [
  name: string,
  property: "fill" | "stroke",
  light: string,
  dark: string,
])[] = [
  ["card", "fill", "#ffffff", "#0d1117"],
  ["card", "stroke", "#d1d9e0", "#3d444d"],
  ["ink", "fill", "#1f2328", "#f0f6fc"],
  ["quiet", "fill", "#59636e", "#9198a1"],
  ["grid", "stroke", "#dfe4ea", "#2b323b"],
  ["axis", "stroke", "#818b98", "#656c76"],
  ["line", "stroke", "#0969da", "#4493f8"],
  ["area", "fill", "#ddf0ff", "#12284a"],
  ["yes", "fill", "#0969da", "#4493f8"],
  ["no", "stroke", "#cf222e", "#f85149"],
  ["not", "fill", "#cf222e", "#f85149"],
  ["limit", "stroke", "#1f2328", "#f0f6fc"],
  ["span", "stroke", "#59636e", "#9198a1"],
  ["halo", "stroke", "#ffffff", "#0d1117"],
  ["window", "fill", "#8250df", "#ab7df8"],
  ["window-edge", "stroke", "#8250df", "#ab7df8"],
  ["block", "fill", "#cf222e", "#f85149"],
  ["block-edge", "stroke", "#cf222e", "#f85149"],
  ["hatch", "stroke", "#cf222e", "#f85149"],
];

/** A drawing that stands by itself: its own background, the reader's fonts, light and dark. */
export function timelineSvg(story: Story, run: StoryRun): string {
  const notes = story.notes(run);
  const rows = notes.filter(isRow);
  const height = NOTES_Y + rows.length * NOTE_ROW - 18;
  const plot = createScale(story);
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escape(story.title)}</title>`,
    `<style>${style()}</style>`,
    `<defs><pattern id="h" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="hatch" d="M0 0V7"/></pattern></defs>`,
    `<rect class="card" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8"/>`,
    text({ x: 20, y: 32, of: "ink title" }, story.title),
    text({ x: 20, y: 53, of: "quiet" }, story.subtitle),
    ...notes.flatMap((note) => (note.kind === "window" ? shade(note, plot) : [])),
    ...axes(story, plot),
    ...spentShape(story, run, plot),
    line("limit", LEFT, plot.y(story.limit.points), RIGHT, plot.y(story.limit.points)),
    ...notes.flatMap((note) => (note.kind === "block" ? shade(note, plot) : [])),
    ...rows.flatMap((row, index) => guides(row, { y: rowY(index), plot })),
    ...marks(run.requests, plot),
    ...rows.flatMap((row, index) => noteRow(row, { y: rowY(index), plot })),
    "</svg>",
  ].join("\n")}\n`;
}

/** Where a moment, and an amount of points, lie. */
interface Plot {
  readonly x: (ms: number) => string;
  readonly y: (points: number) => string;
}

function createScale({ lastsMs, limit }: Story): Plot {
  const most = limit.points * HEADROOM;
  return {
    x: (ms) => decimal(LEFT + (ms / lastsMs) * (RIGHT - LEFT)),
    y: (points) => decimal(BOTTOM - (points / most) * (BOTTOM - TOP)),
  };
}

function axes({ lastsMs, limit }: Story, { x, y }: Plot): string[] {
  const parts = [
    text({ x: LEFT - 14, y: ADMITTED_Y + 4, of: "quiet end" }, "admitted"),
    text({ x: LEFT - 14, y: REFUSED_Y + 4, of: "quiet end" }, "refused"),
    text({ x: LEFT - 14, y: Number(y(limit.points * 0.75)) + 4, of: "yes end strong" }, "spent"),
  ];
  for (const points of [0, limit.points / 2, limit.points]) {
    const words = points === limit.points ? `limit ${points}` : String(points);
    parts.push(text({ x: LEFT - 14, y: Number(y(points)) + 4, of: "quiet end" }, words));
    if (points > 0 && points < limit.points) parts.push(line("grid", LEFT, y(points), RIGHT, y(points)));
  }
  parts.push(line("axis", LEFT, BOTTOM, RIGHT, BOTTOM));
  for (let ms = 0; ms <= lastsMs; ms += TICK_MS) {
    parts.push(line("axis", x(ms), BOTTOM, x(ms), BOTTOM + 5));
    const unit = ms === 0 || ms === lastsMs ? " s" : "";
    parts.push(text({ x: x(ms), y: BOTTOM + 21, of: "quiet mid" }, `${ms / 1000}${unit}`));
  }
  return parts;
}

/** Flat until it changes, but for a bucket, whose points flow. */
function spentShape({ limit }: Story, { spent }: StoryRun, { x, y }: Plot): string[] {
  const flows = limit.shape === "bucket";
  const corners = spent.filter(({ points, atMs }, index) => {
    const before = spent[index - 1];
    const after = spent[index + 1];
    if (before === undefined || after === undefined) return true;
    if (!flows) return points !== before.points;
    if (before.atMs === atMs || after.atMs === atMs) return true;
    return Math.abs(after.points - 2 * points + before.points) > 1e-3;
  });
  let path = "";
  for (const { atMs, points } of corners) {
    if (path === "") path = `M${x(atMs)} ${y(points)}`;
    else path += flows ? `L${x(atMs)} ${y(points)}` : `H${x(atMs)}V${y(points)}`;
  }
  return [`<path class="area" d="${path}V${BOTTOM}H${x(0)}Z"/>`, `<path class="line" d="${path}"/>`];
}

/** The row tells them apart too, not the shape and the colour alone. */
function marks(requests: readonly DecidedRequest[], { x }: Plot): string[] {
  return requests.map(({ atMs, outcome }) => {
    const at = x(atMs);
    return outcome === "admitted"
      ? `<circle class="yes" cx="${at}" cy="${ADMITTED_Y}" r="3.6"/>`
      : `<path class="no" d="M${at} ${REFUSED_Y}m-3.2-3.2 6.4 6.4m0-6.4-6.4 6.4"/>`;
  });
}

/** A window of `fixed`, or a block: over the plot, a block over the requests that it refuses, too. */
function shade(note: Extract<Note, { kind: "window" | "block" }>, { x }: Plot): string[] {
  const isBlock = note.kind === "block";
  const top = isBlock ? ADMITTED_Y - 16 : TOP;
  const left = Number(x(note.fromMs));
  const right = Math.min(RIGHT, Number(x(note.toMs)));
  const place = `x="${left}" y="${top}" width="${decimal(right - left)}" height="${BOTTOM - top}"`;
  const edges = [left, right]
    .filter((at) => at < RIGHT)
    .map((at) => line(`${note.kind}-edge`, at, top, at, BOTTOM));
  const middle = decimal((left + right) / 2);
  return [
    `<rect class="${note.kind}" opacity="0.08" ${place}/>`,
    ...(isBlock ? [`<rect fill="url(#h)" opacity="0.25" ${place}/>`] : []),
    ...edges,
    ...(note.text.length * LETTER < right - left
      ? [
          text(
            { x: middle, y: isBlock ? ADMITTED_Y + 4 : TOP + 15, of: `${note.kind} mid strong` },
            note.text,
          ),
        ]
      : []),
  ];
}

type Row = Exclude<Note, { kind: "window" | "block" }>;

function isRow(note: Note): note is Row {
  return note.kind !== "window" && note.kind !== "block";
}

function rowY(index: number): number {
  return NOTES_Y + index * NOTE_ROW;
}

/** From the numbers of the time axis to the row; of what is waited, also from the refusal's mark to the axis. */
function guides(note: Row, { y, plot: { x } }: { y: number; plot: Plot }): string[] {
  const [from, to] = [x(note.fromMs), x(note.toMs)];
  const of = note.kind === "wait" ? "no guide" : "span guide";
  const below = [from, to].map((at) => line(of, at, BOTTOM + 27, at, y));
  if (note.kind !== "wait") return below;
  return [line(of, from, REFUSED_Y + 8, from, BOTTOM), line(of, to, TOP, to, BOTTOM), ...below];
}

/** A bracket with the charges that are counted, or an arrow through the time; text that is long stands beside. */
function noteRow(note: Row, { y, plot }: { y: number; plot: Plot }): string[] {
  const [from, to] = [Number(plot.x(note.fromMs)), Number(plot.x(note.toMs))];
  const isWait = note.kind === "wait";
  const of = isWait ? "no" : "span";
  const words = isWait ? "not halo" : "ink halo";
  const width = note.text.length * LETTER;
  const place =
    !isWait || width < to - from
      ? { x: from + 6, y: y - 9, of: words }
      : to + width < RIGHT
        ? { x: to + 9, y: y + 4, of: words }
        : { x: from - 9, y: y + 4, of: `${words} end` };
  return [
    note.kind === "interval"
      ? `<path class="${of}" d="M${from} ${y - 5}v10M${from} ${y}H${to}M${to} ${y - 5}v10"/>`
      : `<path class="${of}" d="M${from} ${y - 4}v8M${from} ${y}H${to}m-5-4 5 4-5 4"/>`,
    ...(isWait ? [] : note.chargesMs).map(
      (ms) => `<circle class="yes" cx="${plot.x(ms)}" cy="${y}" r="2.6"/>`,
    ),
    text({ ...place, x: decimal(place.x) }, note.text),
  ];
}

function text(at: { x: number | string; y: number | string; of: string }, words: string): string {
  return `<text class="${at.of}" x="${at.x}" y="${at.y}">${escape(words)}</text>`;
}

function line(
  of: string,
  ...[x1, y1, x2, y2]: readonly [number | string, number | string, number | string, number | string]
): string {
  return `<path class="${of}" d="M${x1} ${y1}L${x2} ${y2}"/>`;
}

function style(): string {
  const paint = (column: 2 | 3) => colours.map((row) => `.${row[0]}{${row[1]}:${row[column]}}`).join("");
  const forms = [
    'text{font:12.5px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}',
    ".title{font-size:16px;font-weight:600}.strong{font-weight:600}",
    ".mid{text-anchor:middle}.end{text-anchor:end}",
    "path{fill:none;stroke-width:1}.area{stroke:none}.line{stroke-width:2;stroke-linejoin:round}",
    ".no{stroke-width:1.8;stroke-linecap:round}.span{stroke-width:1.4}.halo{paint-order:stroke;stroke-width:4;stroke-linejoin:round}",
    ".limit{stroke-width:1.2;stroke-dasharray:5 4}.window-edge{stroke-dasharray:2 3}",
    ".guide{stroke-width:1;stroke-dasharray:1 3}.hatch{stroke-width:1.5}",
  ];
  return `${forms.join("")}${paint(2)}@media(prefers-color-scheme:dark){${paint(3)}}`;
}

/** To a tenth of a pixel. */
function decimal(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escape(words: string): string {
  return words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
