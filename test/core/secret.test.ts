import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { newId, newSecret, secretDigest, secretPrefix, secretPreview } from "../../src/core/secret.ts";

describe("a secret", () => {
  it.each(["", "retrac_", "sk_live_"])("with the prefix %j is recognised, and tells its prefix", (prefix) => {
    const secret = newSecret(prefix);
    expect(secret).toHaveLength(prefix.length + 49);
    expect(secretPrefix(secret)).toBe(prefix);
  });

  it("ends in the CRC-32 of all before it, in base62 (a vector that a scanner can be tested with)", () => {
    const unchecked = `test_${"0".repeat(43)}`;
    expect(secretPrefix(`${unchecked}${"0".repeat(6)}`)).toBeUndefined();
    expect(secretPrefix(`${unchecked}${crcInBase62(unchecked)}`)).toBe("test_");
  });

  it("is told from every text that differs from it in one character", () => {
    const secret = newSecret("retrac_");
    fc.assert(
      fc.property(
        fc.nat({ max: secret.length - 1 }),
        fc.string({ unit: "binary-ascii", minLength: 1, maxLength: 1 }),
        (at, other) => {
          fc.pre(secret[at] !== other);
          expect(secretPrefix(secret.slice(0, at) + other + secret.slice(at + 1))).toBeUndefined();
        },
      ),
    );
  });

  it.each([
    ["empty", ""],
    ["too short", "a".repeat(48)],
    ["a megabyte long", "a".repeat(1024 * 1024)],
    ["with a NUL", `${newSecret("").slice(0, 48)}\0`],
    ["with a letter that is not ASCII", `${newSecret("").slice(0, 48)}é`],
    ["with a space after it", `${newSecret("")} `],
    ["with Bearer before it", `Bearer ${newSecret("")}`],
  ])("that is %s is none", (_, text) => {
    expect(secretPrefix(text)).toBeUndefined();
  });

  it("is kept as its SHA-256 only", () => {
    expect(secretDigest("abc")).toBe(createHash("sha256").update("abc").digest("hex"));
  });

  it("is shown by its prefix and last four characters", () => {
    expect(secretPreview("retrac_abcdefgh", "retrac_")).toBe("retrac_…efgh");
  });

  it("never comes twice", () => {
    const secrets = Array.from({ length: 1000 }, () => newSecret(""));
    expect(new Set(secrets).size).toBe(1000);
    expect(newId("key_")).toMatch(/^key_[0-9A-Za-z]{22}$/);
  });
});

/** An independent CRC-32, bit by bit. */
function crcInBase62(text: string): string {
  const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  let crc = 0xffffffffn;
  for (const byte of Buffer.from(text)) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1n) === 1n ? (crc >> 1n) ^ 0xedb88320n : crc >> 1n;
  }
  let rest = crc ^ 0xffffffffn;
  let digits = "";
  for (let place = 0; place < 6; place++) {
    digits = alphabet.charAt(Number(rest % 62n)) + digits;
    rest /= 62n;
  }
  return digits;
}
