import { describe, expect, it } from "vitest";
import { isInRanges, parseAddressRange } from "../../src/core/address-range.ts";

describe("an address range", () => {
  it.each<[string, string, boolean]>([
    ["10.0.0.0/8", "10.255.0.1", true],
    ["10.0.0.0/8", "11.0.0.1", false],
    ["192.0.2.7", "192.0.2.7", true],
    ["192.0.2.7", "192.0.2.8", false],
    ["0.0.0.0/0", "203.0.113.9", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["::/0", "203.0.113.9", true],
    ["2001:db8::/32", "2001:db8:ffff::1", true],
    ["2001:db8::/32", "2001:db9::1", false],
    ["10.0.0.0/8", "::ffff:10.1.2.3", true],
    ["::1", "::1", true],
    ["::1", "0:0:0:0:0:0:0:1", true],
    ["fe80::/10", "FE80::a", true],
  ])("%s holds %s: %s", (range, address, expected) => {
    const parsed = parseAddressRange(range);
    expect(parsed).toBeDefined();
    expect(isInRanges(address, parsed === undefined ? [] : [parsed])).toBe(expected);
  });

  it.each([
    "",
    "10.0.0.1/8",
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/08",
    "10.0.0.0/-1",
    "10.0.0",
    "256.0.0.0/8",
    "010.0.0.0/8",
    "2001:db8::1/32",
    "2001:db8::/129",
    "1:2:3:4:5:6:7:8:9",
    "1::2::3",
    ":::",
    "12345::",
    "localhost",
  ])("%j is none", (text) => {
    expect(parseAddressRange(text)).toBeUndefined();
  });

  it.each(["", "unknown", "10.0.0.1, 10.0.0.2", "10.0.0.1:80", "%31"])("no range holds %j", (address) => {
    expect(isInRanges(address, [{ first: 0n, prefixLength: 0 }])).toBe(false);
  });
});
