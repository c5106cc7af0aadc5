/**
 * Bits of the code of each symbol, sixteen symbols a line: RFC 7541 Appendix B. The code is canonical (of
 * one length, codes go up with the symbols; a longer one goes on where the shorter ones end), so the
 * lengths are all there is to it.
 */
const CODE_BITS = Uint8Array.from(
  `13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28
   28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28
    6 10 10 12 13  6  8 11 10 10  8 11  8  6  6  6
    5  5  5  6  6  6  6  6  6  6  7  8 15  6 12 10
   13  6  7  7  7  7  7  7  7  7  7  7  7  7  7  7
    7  7  7  7  7  7  7  7  8  7  8 13 19 13 14  6
   15  5  6  5  6  5  6  6  6  5  7  7  6  6  6  5
    6  7  6  5  5  6  7  7  7  7  7 15 11 14 13 28
   20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23
   24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24
   22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23
   21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23
   26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25
   19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27
   20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23
   26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26
   30`
    .trim()
    .split(/\s+/),
  Number,
);

/** The symbol after the 256 bytes. It fills up the last byte of a string and may not be in one. */
const EOS = 256;
const LONGEST_CODE_BITS = 30;

const CODES = canonicalCodes();

function canonicalCodes(): Uint32Array {
  const codes = new Uint32Array(CODE_BITS.length);
  let code = 0;
  for (let bits = 1; bits <= LONGEST_CODE_BITS; bits++) {
    code *= 2;
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (CODE_BITS[symbol] === bits) codes[symbol] = code++;
    }
  }
  return codes;
}

/*
 * The decoder is a machine that eats four bits a step. A state is an inner node of the code's tree: what
 * has been read of the next symbol. As no code is shorter than five bits, a step ends one symbol at most.
 * One step: bits 0 to 7 the next state, 8 to 15 the symbol, 16 whether there is one, 17 whether it is EOS.
 */
const SYMBOL_ENDS = 1 << 16;
const EOS_ENDS = 1 << 17;

const { STEPS, MAY_END } = buildMachine();

function buildMachine() {
  // Two places a node; 0 is none yet, a positive number an inner node, a negative one ~symbol.
  const tree = new Int16Array(2 * EOS);
  let nodes = 1;
  for (let symbol = 0; symbol <= EOS; symbol++) {
    const code = CODES[symbol] as number;
    let node = 0;
    for (let bit = (CODE_BITS[symbol] as number) - 1; bit > 0; bit--) {
      const place = 2 * node + ((code >>> bit) & 1);
      if (tree[place] === 0) tree[place] = nodes++;
      node = tree[place] as number;
    }
    tree[2 * node + (code & 1)] = ~symbol;
  }

  const steps = new Uint32Array(nodes * 16);
  for (let step = 0; step < steps.length; step++) {
    let node = step >> 4;
    let ended = 0;
    for (let bit = 3; bit >= 0; bit--) {
      const next = tree[2 * node + ((step >> bit) & 1)] as number;
      if (next < 0) ended = ~next === EOS ? EOS_ENDS : SYMBOL_ENDS | (~next << 8);
      node = Math.max(next, 0);
    }
    steps[step] = ended | node;
  }

  // RFC 7541 5.2: a string is filled up to a byte with the first bits of EOS, all ones, at most seven.
  const mayEnd = new Uint8Array(nodes);
  for (let node = 0, bits = 0; bits <= 7; bits++) {
    mayEnd[node] = 1;
    node = tree[2 * node + 1] as number;
  }
  return { STEPS: steps, MAY_END: mayEnd };
}

/** Room that `decodeHuffman` needs at most: no code is shorter than five bits. */
export function maxDecodedBytes(encodedBytes: number): number {
  return Math.ceil((encodedBytes * 8) / 5);
}

/**
 * Decodes bytes[start, end) to the front of `out`, and answers how many bytes it became; -1 where EOS is
 * in it or it is not filled up as RFC 7541 5.2 asks. `out` has room for `maxDecodedBytes`.
 */
export function decodeHuffman(bytes: Buffer, start: number, end: number, out: Buffer): number {
  let state = 0;
  let length = 0;
  let seen = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    // Written whether a symbol ends or not: a branch here would be guessed wrong half of the time.
    const high = STEPS[(state << 4) | (byte >> 4)] as number;
    out[length] = high >> 8;
    length += (high >> 16) & 1;
    const low = STEPS[((high & 0xff) << 4) | (byte & 0xf)] as number;
    out[length] = low >> 8;
    length += (low >> 16) & 1;
    seen |= high | low;
    state = low & 0xff;
  }
  return (seen & EOS_ENDS) === 0 && MAY_END[state] === 1 ? length : -1;
}

/** Bytes that `text` takes when encoded, as latin1: of a larger character the low byte, as Buffer does it. */
export function huffmanBytes(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += CODE_BITS[text.charCodeAt(i) & 0xff] as number;
  return (bits + 7) >> 3;
}

/** Writes `huffmanBytes(text)` bytes to `out` from `offset` on, and answers the offset after them. */
export function encodeHuffman(text: string, out: Buffer, offset: number): number {
  // The low `pendingBits` of `pending` are not written yet: seven at most between two steps. A code goes in
  // by 16 bits a step, as the longest has 30 and a shift is of 32. What is above is written and falls out.
  let pending = 0;
  let pendingBits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 0xff;
    const code = CODES[symbol] as number;
    let bits = CODE_BITS[symbol] as number;
    while (bits > 0) {
      const taken = Math.min(bits, 16);
      bits -= taken;
      pending = (pending << taken) | ((code >>> bits) & ((1 << taken) - 1));
      pendingBits += taken;
      while (pendingBits >= 8) {
        pendingBits -= 8;
        out[offset++] = pending >>> pendingBits;
      }
    }
  }
  if (pendingBits > 0) out[offset++] = (pending << (8 - pendingBits)) | (0xff >> pendingBits);
  return offset;
}
