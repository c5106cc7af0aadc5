import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isCanonicalPath } from "../../src/policy/canonical-path.ts";

const CANONICAL = [
  "/",
  "/items",
  "/items/",
  "/Items/42",
  "/a.b/..c/.d/e..",
  "/...",
  "/a-b_c~d!e$f&g'h(i)j+k,l=m:n@o",
  "/%20",
  "/caf%C3%A9",
  "/caf%c3%a9",
  "/%3B",
  "/%F0%9F%94%91",
  `/${"x".repeat(8191)}`,
];

const REFUSED: readonly (readonly [path: string, why: string])[] = [
  ["", "empty"],
  ["items", "no slash at its start"],
  ["https://host/items", "a whole URL"],
  ["*", "OPTIONS *"],
  ["//", "an empty segment"],
  ["//items", "an empty segment, read as a host by some"],
  ["/items//42", "an empty segment"],
  ["/items/42//", "an empty segment at the end"],
  ["/.", "a dot segment"],
  ["/..", "a dot segment"],
  ["/./items", "a dot segment"],
  ["/items/../users", "a dot segment"],
  ["/items/..", "a dot segment at the end"],
  ["/items/./", "a dot segment before the end"],
  ["/%2e%2e/users", "encoded dots"],
  ["/.%2E/users", "half encoded dots"],
  ["/%69tems", "an encoded letter"],
  ["/%7Eann", "an encoded tilde"],
  ["/%30", "an encoded digit"],
  ["/a%2Fb", "an encoded slash"],
  ["/a%2fb", "an encoded slash in lower case"],
  ["/a%5Cb", "an encoded backslash"],
  ["/items/1%3F/x", "an encoded question mark, where those who decode and read again end the path"],
  ["/items/..%23", "an encoded number sign, likewise"],
  ["/a%252Fb", "a percent sign, for those who decode twice"],
  ["/%00", "an encoded NUL"],
  ["/a%0d%0aSet-Cookie", "encoded line ends"],
  ["/%7F", "an encoded DEL"],
  ["/%", "a percent sign alone"],
  ["/%4", "half an escape"],
  ["/%zz", "an escape that is no number"],
  ["/%-1", "an escape that is no number"],
  ["/%C3", "half a character"],
  ["/%C0%AF", "an overlong slash"],
  ["/%E0%80%AF", "an overlong slash of three bytes"],
  ["/%ED%A0%80", "half a surrogate pair"],
  ["/%F5%80%80%80", "beyond Unicode"],
  ["/%FF", "no UTF-8"],
  ["/a\\b", "a backslash"],
  ["/items;id=1", "a path parameter"],
  ["/..;/users", "a dot segment for those who cut parameters off"],
  ["/items#x", "a fragment"],
  ["/items?x", "a query string"],
  ["/items/*", "an asterisk"],
  ["/a b", "a space"],
  ["/a\tb", "a tab"],
  ["/a\nb", "a line feed"],
  ["/a\0b", "a NUL"],
  ["/caf\u00e9", "raw Latin-1"],
  ["/\u2044", "a raw fraction slash"],
  ["/\ud83d", "half a surrogate pair, raw"],
  ['/a"b', "a quote"],
  ["/<a>", "angle brackets"],
  ["/{id}", "braces"],
  ["/a|b", "a bar"],
  ["/a^b", "a caret"],
  ["/a`b", "a backtick"],
  ["/[1]", "brackets"],
  [`/${"x".repeat(8192)}`, "above 8 KiB"],
];

describe("a path that all servers read alike is canonical", () => {
  test.each(CANONICAL)("%s", (path) => {
    expect(isCanonicalPath(path)).toBe(true);
  });
});

describe("a path that some server would read otherwise is refused", () => {
  test.each(REFUSED)("%j: %s", (path) => {
    expect(isCanonicalPath(path)).toBe(false);
  });
});

test("a canonical path is its own normal form, decoded it has no control, slash or dot segment of its own", () => {
  const piece = fc.oneof(
    fc.constantFrom(
      "/",
      "/",
      ".",
      "..",
      "%2e",
      "%2F",
      "%41",
      "%25",
      "%c3%a9",
      "%C3",
      "%",
      ";",
      "\\",
      "a",
      "Z",
      "9",
      "~",
    ),
    fc.string({ unit: "binary", maxLength: 3 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const path = `/${pieces.join("")}`;
      fc.pre(isCanonicalPath(path));
      expect(new URL(`http://h${path}`).pathname).toBe(path);
      const decoded = decodeURIComponent(path);
      expect(decoded.split("/").length).toBe(path.split("/").length);
      expect(decoded).not.toMatch(/[\0-\x1f\x7f\\%]|\/\.{1,2}(\/|$)|\/\//);
    }),
    { numRuns: 1_000 },
  );
});
