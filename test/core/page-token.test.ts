import { describe, expect, it } from "vitest";
import { TollgateError } from "../../src/core/errors.ts";
import { pageTokenOf, positionOf } from "../../src/core/page-token.ts";

describe("a page token", () => {
  it("brings the position back to the query that it is of", () => {
    expect(positionOf(pageTokenOf("2026|key_1", ["a"]), ["a"])).toBe("2026|key_1");
  });

  it("is empty when there is no more, and then means the first page", () => {
    expect(pageTokenOf(undefined, ["a"])).toBe("");
    expect(positionOf("", ["a"])).toBeUndefined();
  });

  it.each([
    ["of another query", pageTokenOf("2026|key_1", ["b"])],
    ["that was changed", `x${pageTokenOf("2026|key_1", ["a"])}`],
    ["that is junk", "junk"],
    ["with another position", pageTokenOf("x", ["a"]).replace(/^[^.]*/, "eQ")],
  ])("%s is INVALID_ARGUMENT", (_, token) => {
    expect(() => positionOf(token, ["a"])).toThrow(TollgateError);
    expect(() => positionOf(token, ["a"])).toThrow("page_token");
  });
});
