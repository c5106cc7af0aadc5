import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { policyByHost } from "../../src/core/policy-set.ts";
import { type LoadedPolicies, loadPolicies } from "../../src/policy/load.ts";
import { formatProblem } from "../../src/policy/problem.ts";
import { SHOP, shopWith } from "./policy-text.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const DEPOT = shopWith(["api: shop", "api: depot"], ["api.shop.example", '"*.depot.example"']);

async function load(folder: string): Promise<LoadedPolicies> {
  const result = await loadPolicies(folder);
  if ("errors" in result) throw new Error(result.errors.map(formatProblem).join("\n"));
  return result;
}

async function errorsOf(folder: string): Promise<string[]> {
  const result = await loadPolicies(folder);
  if (!("errors" in result)) throw new Error("the folder was loaded");
  return result.errors.map((error) =>
    formatProblem(error).replaceAll(`${folder}/`, "").replace(folder, "FOLDER"),
  );
}

describe("a folder of policies", () => {
  test("is every YAML file that is no test and not hidden", async () => {
    const folder = temporaryFolder({
      "shop.yaml": SHOP,
      "depot.yml": DEPOT,
      "shop.test.yaml": "not: [a policy",
      "depot.test.yml": "not: [a policy",
      ".shop.yaml": "not: [a policy",
      "README.md": "not: [a policy",
    });
    mkdirSync(join(folder, "old.yaml"));
    const { set, files } = await load(folder);
    expect([...set.policies.keys()]).toEqual(["depot", "shop"]);
    expect(files.map(({ path, policy }) => [path, policy.api])).toEqual([
      [join(folder, "depot.yml"), "depot"],
      [join(folder, "shop.yaml"), "shop"],
    ]);
    expect(policyByHost(set, "a.depot.example:443")?.policy.api).toBe("depot");
  });

  test("may be links, as Kubernetes mounts them", async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "..2026"));
    writeFileSync(join(folder, "..2026", "shop.yaml"), SHOP);
    symlinkSync("..2026", join(folder, "..data"));
    symlinkSync("..data/shop.yaml", join(folder, "shop.yaml"));
    expect([...(await load(folder)).set.policies.keys()]).toEqual(["shop"]);
  });

  test("may hold policies that share a directory and differ in roles and plans", async () => {
    const shared = shopWith(
      ["api: shop", "api: depot\ndirectory: shop"],
      ["hosts: [api.shop.example]\n", ""],
      ["clerk:", "driver:"],
    );
    const { set } = await load(temporaryFolder({ "shop.yaml": SHOP, "depot.yaml": shared }));
    expect(set.directories.get("shop")?.map(({ api }) => api)).toEqual(["depot", "shop"]);
  });
});

describe("a folder that cannot be loaded says why", () => {
  test("it is missing", async () => {
    expect(await errorsOf(join(temporaryFolder(), "none"))).toEqual(["FOLDER:1:1: There is no such folder."]);
  });

  test("it is a file", async () => {
    const folder = temporaryFolder({ "shop.yaml": SHOP });
    expect(await errorsOf(join(folder, "shop.yaml"))).toEqual([
      "FOLDER:1:1: This is no folder; name the one that the policies are in.",
    ]);
  });

  test("it is empty", async () => {
    expect(await errorsOf(temporaryFolder({ "shop.test.yaml": SHOP }))).toEqual([
      "FOLDER:1:1: There is no policy in the folder; write one as a *.yaml file.",
    ]);
  });

  test("a link leads nowhere", async () => {
    const folder = temporaryFolder({ "shop.yaml": SHOP });
    symlinkSync("gone.yaml", join(folder, "depot.yaml"));
    expect(await errorsOf(folder)).toEqual([
      "depot.yaml:1:1: The file cannot be read: it is gone, or a link that leads nowhere.",
    ]);
  });

  test("a file is too large, or no text", async () => {
    const folder = temporaryFolder({ "large.yaml": "#".repeat(1024 * 1024 + 1) });
    writeFileSync(join(folder, "latin.yaml"), Buffer.from([0x61, 0x3a, 0x20, 0xe9]));
    expect(await errorsOf(folder)).toEqual([
      "large.yaml:1:1: The file is larger than 1048576 bytes.",
      "latin.yaml:1:1: The file is not UTF-8 text.",
    ]);
  });

  test("all that is wrong with any of its files", async () => {
    const folder = temporaryFolder({
      "a.yaml": shopWith(["[items.read]", "[items.red]"]),
      "b.yaml": "api: [\n",
      "c.yaml": DEPOT,
    });
    expect(await errorsOf(folder)).toEqual([
      'a.yaml:9:25: There is no permission "items.red". Did you mean "items.read"?',
      expect.stringMatching(/^b\.yaml:2:1: This is not YAML: /),
    ]);
  });

  test("two policies have one api", async () => {
    const folder = temporaryFolder({ "a.yaml": SHOP, "b.yaml": shopWith(["api.shop.example", "b.example"]) });
    expect(await errorsOf(folder)).toEqual([
      'b.yaml:1:6: The api "shop" is that of a.yaml too; each policy needs a name of its own.',
    ]);
  });

  test("two policies have one host", async () => {
    const folder = temporaryFolder({
      "a.yaml": SHOP,
      "b.yaml": shopWith(
        ["api: shop", "api: depot"],
        ["[api.shop.example]", "[b.example, api.shop.example]"],
      ),
    });
    expect(await errorsOf(folder)).toEqual([
      'b.yaml:2:20: The host "api.shop.example" is that of a.yaml too; a request could not be told apart.',
    ]);
  });
});

test("the shipped policies load together", async () => {
  const { set } = await load("policies");
  expect([...set.policies.keys()]).toEqual(["retool", "retrac"]);
});
