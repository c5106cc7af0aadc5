import { describe, expect, test } from "vitest";
import { compileLegacyPattern } from "../../src/policy/legacy-pattern.ts";

describe("a pattern of imported secrets", () => {
  test.each([
    ["^sk_[0-9a-f]{32}$", `sk_${"0a".repeat(16)}`],
    ["^[A-Za-z0-9_-]{20,200}$", "x".repeat(64)],
    ["^pk_\\w{8,16}\\.\\d{8}$", "pk_abcdefgh.12345678"],
    ["^[A-Z]{4}-[0-9]{16}=$", "ACME-1234567890123456="],
  ])("%s is let through, and matches whole secrets only", (pattern, secret) => {
    const compiled = compileLegacyPattern(pattern);
    if ("fault" in compiled) throw new Error(compiled.fault);
    expect(compiled.pattern.test(secret)).toBe(true);
    expect(compiled.pattern.test(`${secret}\n`)).toBe(false);
    expect(compiled.pattern.test(` ${secret}`)).toBe(false);
  });

  test.each([
    ["sk_[0-9a-f]{32}", "begin it with ^ and end it with $"],
    ["^sk_[0-9a-f]{32}", "begin it with ^ and end it with $"],
    ["^(a+)+$", "is not allowed"],
    ["^[a-z]+$", "is not allowed"],
    ["^[a-z]*$", "is not allowed"],
    ["^[a-z]{20,}$", "is not allowed"],
    ["^.{32}$", "is not allowed"],
    ["^a{32}|b{32}$", "is not allowed"],
    ["^(?=x)[a-z]{32}$", "is not allowed"],
    ["^([a-z]{16})\\1$", "is not allowed"],
    ["^[^a]{32}$", "is not allowed"],
    ["^[a-z]{32}?$", "is not allowed"],
    ["^[a-z]{1,300}$", "at most 256 times"],
    ["^[a-z]{40,20}$", "repeat from low to high"],
    ["^[a-z]{1,99}[a-z]{1,99}[a-z]{20,99}$", "at most two repetitions"],
    ["^[a-z]{15}$", "fewer than 16 characters"],
    ["^[a-z]{0,64}$", "fewer than 16 characters"],
    ["^$", "fewer than 16 characters"],
    ["^[z-a]{32}$", "Invalid regular expression"],
  ])("%s is refused: %s", (pattern, fault) => {
    expect(compileLegacyPattern(pattern)).toEqual({ fault: expect.stringContaining(fault) });
  });
});
