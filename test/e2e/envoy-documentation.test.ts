import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { inRepository } from "../support/repository.ts";
import { trimmedLines, yamlBlocks } from "./envoy-documentation.ts";

/** The blocks that are not in the shipped files: the tests take them from the page by these headings. */
const variants = [
  "TLS",
  "X-Forwarded-For and -Proto of a trusted hop",
  "PROXY protocol",
  "An API that speaks gRPC",
  "To let requests pass while Tollgate cannot be asked",
  "A limit for each address",
];

describe.each([
  ["envoy.md", "envoy.yaml"],
  ["envoy-rate-limit.md", "envoy-ratelimit.yaml"],
])("%s", (page, example) => {
  const file = trimmedLines(readFileSync(inRepository("examples", "envoy", example), "utf8")).join("\n");
  const quotes = yamlBlocks(page).filter(({ heading }) => !variants.includes(heading));

  it.each(quotes)("quotes the shipped file under $heading: $lines.0", ({ lines }) => {
    expect(`\n${file}\n`).toContain(`\n${lines.join("\n")}\n`);
  });

  it("has quotes", () => {
    expect(quotes.length).toBeGreaterThan(5);
  });
});
