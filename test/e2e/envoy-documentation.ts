import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { inRepository } from "../support/repository.ts";

/** The block of YAML that stands under that heading in a page of docs/gateways, so that what is documented is what is tested. */
export function documentedYaml<Value>(page: string, heading: string): Value {
  const text = readFileSync(inRepository("docs", "gateways", page), "utf8");
  const section = text.split(/^#{2,} /m).find((part) => part.startsWith(`${heading}\n`));
  const block = /^```yaml\n(.*?)^```/ms.exec(section ?? "")?.[1];
  if (block === undefined) throw new Error(`${page} has no YAML under "${heading}"`);
  return parse(block) as Value;
}

/** Every block of YAML of a page, with the heading that it stands under. */
export function yamlBlocks(page: string): { heading: string; lines: string[] }[] {
  const text = readFileSync(inRepository("docs", "gateways", page), "utf8");
  return text.split(/^#{2,} /m).flatMap((section) => {
    const heading = section.split("\n")[0] as string;
    return [...section.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, block = ""]) => ({
      heading,
      lines: trimmedLines(block),
    }));
  });
}

/** Wherever they are indented to, and without the marks of YAML's anchors. */
export function trimmedLines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim().replace(/: &\w+$/, ":"))
    .filter((line) => line !== "");
}
