import fc from "fast-check";
import { expect, test } from "vitest";
import { matchingNames } from "../../src/policy/name-pattern.ts";
import { suggest, suggestOrList } from "../../src/policy/suggest.ts";

const NAMES = ["items.read", "items.write", "tags.read", "read"];

test.each([
  ["*", NAMES],
  ["*.read", ["items.read", "tags.read"]],
  ["items.*", ["items.read", "items.write"]],
  ["*s.r*d", ["items.read", "tags.read"]],
  ["*read", ["items.read", "tags.read", "read"]],
  ["read*read", []],
  ["items.read", ["items.read"]],
  ["items", []],
  ["Items.*", []],
  ["**", NAMES],
])("%s matches %j", (pattern, names) => {
  expect(matchingNames(pattern, NAMES)).toEqual(names);
});

test("a pattern matches what the same regular expression does", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "."), maxLength: 8 });
  const pattern = fc.string({ unit: fc.constantFrom("a", "b", ".", "*"), maxLength: 6 });
  fc.assert(
    fc.property(pattern, text, (glob, name) => {
      const expression = new RegExp(`^${glob.replaceAll(".", "\\.").replaceAll("*", ".*")}$`);
      expect(matchingNames(glob, [name])).toEqual(expression.test(name) ? [name] : []);
    }),
    { numRuns: 2_000 },
  );
});

test("a misspelt word is met with the closest name, another word with the names there are", () => {
  expect(suggest("items.raed", NAMES)).toBe(' Did you mean "items.read"?');
  expect(suggest("ITEMS.READ", NAMES)).toBe(' Did you mean "items.read"?');
  expect(suggest("payments", NAMES)).toBe("");
  expect(suggestOrList("payments", ["a", "b"])).toBe(" There is a, b.");
  expect(
    suggestOrList(
      "payments",
      Array.from({ length: 14 }, (_, index) => `p${index}`),
    ),
  ).toMatch(/ There is p0, .*, p11, and 2 more\.$/);
  expect(suggestOrList("x", [])).toBe("");
});
