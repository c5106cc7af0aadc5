/**
 * A path as servers differ in reading it, without its query string: as it is, decoded once and twice, with dot
 * segments, empty segments, backslashes and parameters taken out, in lower case, and cut off at a NUL, a "?" or "#".
 */
export function pathReadings(url: string): Set<string> {
  const readings = new Set([cutAt(url, /[?#]/)]);
  // Each makes others readable: twice decoded, and then resolved, is a reading as well.
  for (const reading of readings) {
    for (const read of [decoded, withSlashes, withoutParameters, resolved, collapsed, cut, lowered, pathOf]) {
      readings.add(read(reading));
    }
    if (readings.size > 10_000) throw new Error(`too many readings of ${url}`);
  }
  return readings;
}

const decoded = (path: string) =>
  path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
const withSlashes = (path: string) => path.replaceAll("\\", "/");
const withoutParameters = (path: string) => path.replace(/;[^/]*/g, "");
const collapsed = (path: string) => path.replace(/\/{2,}/g, "/");
const cut = (path: string) => cutAt(path, /[\0?#]/);
const lowered = (path: string) => path.toLowerCase();
const pathOf = (path: string) => path.replace(/^https?:\/\/[^/]*/i, "");

function resolved(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") kept.pop();
    else if (segment !== ".") kept.push(segment);
  }
  return kept[0] === "" || path[0] !== "/" ? kept.join("/") : `/${kept.join("/")}`;
}

function cutAt(path: string, mark: RegExp): string {
  return path.split(mark)[0] as string;
}
