import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";
import { inRepository, repositoryFolder } from "../support/repository.ts";

/** What a commit would hold: also files that are not added yet. */
const paths = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
  cwd: repositoryFolder,
  encoding: "utf8",
})
  .split("\0")
  .filter((path) => path !== "" && existsSync(inRepository(path)));

const texts = new Map(
  paths
    .map((path) => [path, readFileSync(inRepository(path))] as const)
    .filter(([, bytes]) => !bytes.includes(0))
    .map(([path, bytes]) => [path, bytes.toString("utf8")] as const),
);

/** Each row: what no file may hold, and why. Written so that this file does not hold it either. */
const forbidden: readonly (readonly [what: string, pattern: RegExp])[] = [
  [
    "a path of somebody's machine",
    /(?<![\w.:/~$}-])\/(?:work|root|home\/[a-z][\w-]*|Users\/[A-Za-z][\w-]*)\/[\w.]/,
  ],
  [
    "a package registry's host name",
    /\bregistry\.[a-z][\w-]*\.[a-z]|\b(?:[\w-]+\.)*(?:artifactory|verdaccio)\.[a-z]|proxy\.golang\.[o]rg|pypi\.[o]rg/,
  ],
  ["a reference to what is not in the repository", /\.\.\/shared\b/],
  ["the start of a private key", /-----BEGIN [A-Z ]*PRIVATE KEY-----/],
];

test.each(forbidden)("no file holds %s", (_what, pattern) => {
  const found = [...texts].flatMap(([path, text]) =>
    text
      .split("\n")
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  );
  expect(found).toEqual([]);
});

test("every link in a Markdown page to a file or a heading of ours leads somewhere", () => {
  const pages = [...texts].filter(([path]) => path.endsWith(".md"));
  expect(pages.length).toBeGreaterThan(0);
  expect(pages.flatMap(([path, text]) => brokenLinks(path, text))).toEqual([]);
});

test("a link to a missing file, and one to a missing heading, are found", () => {
  const page =
    "# One two\n[a](missing.md) [b](#one-two) [c](#three) [d](https://example.com)\n```\n[e](code.md)\n```\n";
  expect(brokenLinks("page.md", page)).toEqual(["page.md: missing.md", "page.md: #three"]);
});

test("the changelog has the form of Keep a Changelog, with a place for what is not released", () => {
  const lines = readFileSync(inRepository("CHANGELOG.md"), "utf8").split("\n");
  expect(lines[0]).toBe("# Changelog");
  const versions = lines.filter((line) => line.startsWith("## "));
  expect(versions[0]).toBe("## [Unreleased]");
  for (const version of versions.slice(1))
    expect(version).toMatch(/^## \[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}$/);
  const sections = lines.filter((line) => line.startsWith("### "));
  expect(sections.length).toBeGreaterThan(0);
  for (const section of sections) {
    expect(section).toMatch(/^### (Added|Changed|Deprecated|Removed|Fixed|Security)$/);
  }
});

test("every dependency is pinned to one version", () => {
  const manifest = JSON.parse(readFileSync(inRepository("package.json"), "utf8")) as Record<
    "dependencies" | "devDependencies",
    Record<string, string>
  >;
  const ranges = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }).filter(
    ([, version]) => !/^\d+\.\d+\.\d+$/.test(version),
  );
  expect(ranges).toEqual([]);
});

test("the lockfile holds every package that another in it names, for every platform: else npm ci refuses it", () => {
  const { packages } = JSON.parse(readFileSync(inRepository("package-lock.json"), "utf8")) as Lockfile;
  const missing = Object.entries(packages).flatMap(([path, named]) =>
    Object.keys({ ...named.dependencies, ...named.optionalDependencies })
      .filter((name) => !foldersAbove(path).some((folder) => `${folder}node_modules/${name}` in packages))
      .map((name) => `${path || "package.json"} needs ${name}`),
  );
  expect(missing).toEqual([]);
});

test.each([".ci/run", "bin/tollgate.js"])("%s can be executed", (path) => {
  expect(statSync(inRepository(path)).mode & 0o111).toBe(0o111);
});

interface Lockfile {
  packages: Record<string, Partial<Record<"dependencies" | "optionalDependencies", Record<string, string>>>>;
}

/** Where Node looks for a package's dependencies: below itself first, then below each folder that it stands in. */
function foldersAbove(path: string): string[] {
  const nesting = path.split("/node_modules/");
  return [
    ...nesting.map((_, depth) => `${nesting.slice(0, nesting.length - depth).join("/node_modules/")}/`),
    "",
  ];
}

/** `page: target` of each inline link to a file or heading that is not there. Code is no text. */
function brokenLinks(path: string, text: string): string[] {
  const prose = withoutCode(text);
  const targets = [...prose.matchAll(/\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)/g)].map(
    ([, target]) => target as string,
  );
  return targets
    .filter((target) => !/^[a-z][a-z0-9+.-]*:/i.test(target))
    .filter((target) => {
      const [file = "", heading] = target.split("#");
      const linked = file === "" ? path : normalize(join(dirname(path), decodeURIComponent(file)));
      if (file !== "" && !existsSync(inRepository(linked))) return true;
      if (heading === undefined) return false;
      const page = file === "" ? text : (texts.get(linked) ?? "");
      return linked.endsWith(".md") && !headings(page).has(heading);
    })
    .map((target) => `${path}: ${target}`);
}

function withoutCode(text: string): string {
  return text.replace(/^(```|~~~)[\s\S]*?^\1/gm, "").replace(/`[^`\n]*`/g, "");
}

/** The fragments that GitHub gives to headings. */
function headings(text: string): Set<string> {
  const titles = [...text.replace(/^(```|~~~)[\s\S]*?^\1/gm, "").matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)];
  return new Set(
    titles.map(([, title]) =>
      (title as string)
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, "")
        .replace(/\s/g, "-"),
    ),
  );
}
