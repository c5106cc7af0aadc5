import { hash, randomBytes } from "node:crypto";

/**
 * Secrets are a prefix, 43 base62 characters that carry 256 random bits, and 6 base62 characters of the
 * CRC-32 of all before them: junk is told from a key without a look-up, and a scanner can verify a find.
 */
const RANDOM_LENGTH = 43;
const CHECKSUM_LENGTH = 6;
/** Characters of a secret after its prefix. */
const SECRET_BODY_LENGTH = RANDOM_LENGTH + CHECKSUM_LENGTH;

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** By a character's code, what it stands for in base62. */
const DIGITS: readonly (number | undefined)[] = Array.from({ length: 128 }, (_, code) => {
  const digit = ALPHABET.indexOf(String.fromCharCode(code));
  return digit === -1 ? undefined : digit;
});
/** Longer than any prefix and body: what is longer is no key, and is not looked at. */
const MAX_LENGTH = 64 + SECRET_BODY_LENGTH;

/** A new secret. `prefix` is printable ASCII, at most 64 characters. */
export function newSecret(prefix: string): string {
  const unchecked = prefix + base62(BigInt(`0x${randomBytes(32).toString("hex")}`), RANDOM_LENGTH);
  return unchecked + checksum(unchecked);
}

/** The prefix of a well-formed secret; undefined when its length, alphabet or checksum is wrong. */
export function secretPrefix(secret: string): string | undefined {
  if (secret.length < SECRET_BODY_LENGTH || secret.length > MAX_LENGTH) return undefined;
  const bodyStart = secret.length - SECRET_BODY_LENGTH;
  const checkedLength = secret.length - CHECKSUM_LENGTH;
  for (let index = bodyStart; index < checkedLength; index++) {
    if (DIGITS[secret.charCodeAt(index)] === undefined) return undefined;
  }
  let sent = 0;
  for (let index = checkedLength; index < secret.length; index++) {
    const digit = DIGITS[secret.charCodeAt(index)];
    if (digit === undefined) return undefined;
    sent = sent * 62 + digit;
  }
  return sent === crc32(secret, checkedLength) ? secret.slice(0, bodyStart) : undefined;
}

/** SHA-256 of the secret: 64 lower-case hex digits. All that is ever stored of one. */
export function secretDigest(secret: string): string {
  return hash("sha256", secret, "hex");
}

/** What people recognise a secret by: its prefix and last four characters. */
export function secretPreview(secret: string, prefix: string): string {
  return `${prefix}…${secret.slice(-4)}`;
}

/** `prefix` and 22 base62 characters (128 random bits). */
export function newId(prefix: string): string {
  return prefix + base62(BigInt(`0x${randomBytes(16).toString("hex")}`), 22);
}

function checksum(text: string): string {
  return base62(BigInt(crc32(text, text.length)), CHECKSUM_LENGTH);
}

function base62(value: bigint, length: number): string {
  let digits = "";
  let rest = value;
  for (let place = 0; place < length; place++) {
    digits = ALPHABET.charAt(Number(rest % 62n)) + digits;
    rest /= 62n;
  }
  return digits;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  return crc >>> 0;
});

/** CRC-32 (ISO 3309, as in zip and PNG) of ASCII text's first characters; node:zlib has it only from Node 22 on. */
function crc32(text: string, length: number): number {
  let crc = 0xffffffff;
  for (let index = 0; index < length; index++) {
    crc = (CRC_TABLE[(crc ^ text.charCodeAt(index)) & 0xff] as number) ^ (crc >>> 8);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
