import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type GatewayWorld, startGatewayWorld } from "../support/gateway-world.ts";
import { inRepository } from "../support/repository.ts";
import { describeAdmitted } from "./gateway-admitted.ts";
import { describeAttacks } from "./gateway-attacks.ts";
import { describeBetween } from "./gateway-between.ts";
import type { GatewayExample } from "./gateway-example.ts";
import { describeOutages } from "./gateway-outages.ts";
import { describePathTricks } from "./gateway-path-tricks.ts";
import { describeRefused } from "./gateway-refused.ts";

/** The same requests through the real program of each gateway, with its example's configuration. */
export function describeGateway(example: GatewayExample): void {
  const { name } = example;
  let started: GatewayWorld;
  const world = () => started;

  beforeAll(async () => {
    started = await startGatewayWorld(example.start);
  });
  afterAll(() => started?.stop());

  it(`${name}: its page shows lines of the example that runs here`, () => {
    const { file, language, shows } = example.page;
    const lines = shows
      .map((name) => readFileSync(inRepository("examples", ...name.split("/")), "utf8").replace(/ +/g, " "))
      .join("\n");
    const page = readFileSync(inRepository("docs", "gateways", file), "utf8");
    const shown = [...page.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, "gs"))].flatMap(
      ([, block = ""]) => block.trim().replace(/ +/g, " ").split("\n"),
    );
    expect(shown.length).toBeGreaterThan(5);
    expect(shown.filter((line) => !lines.includes(line.trim()))).toEqual([]);
  });

  describeAdmitted(example, world);
  describeRefused(name, world);
  describeAttacks(name, world);
  describePathTricks(name, world);
  describeBetween(name, world);
  describeOutages(example, world);
}
