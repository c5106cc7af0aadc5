/** An address range (CIDR), as the 128-bit number of its first address and the length of its prefix. */
export interface AddressRange {
  readonly first: bigint;
  /** 0 to 128; IPv4 ranges are those of the IPv4-mapped addresses. */
  readonly prefixLength: number;
}

/** Reads "10.0.0.0/8", "2001:db8::/32" or a single address; undefined when it is neither. Bits after the prefix must be 0. */
export function parseAddressRange(text: string): AddressRange | undefined {
  const slash = text.indexOf("/");
  const address = slash === -1 ? text : text.slice(0, slash);
  const first = parseAddress(address);
  if (first === undefined) return undefined;
  const width = address.includes(":") ? 128 : 32;
  const lengthText = slash === -1 ? String(width) : text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(lengthText) || Number(lengthText) > width) return undefined;
  const prefixLength = Number(lengthText) + 128 - width;
  const hostBits = (1n << BigInt(128 - prefixLength)) - 1n;
  return (first & hostBits) === 0n ? { first, prefixLength } : undefined;
}

/** Whether the address, IPv4 or IPv6, is in one of the ranges; one that cannot be read is in none. */
export function isInRanges(address: string, ranges: readonly AddressRange[]): boolean {
  const value = parseAddress(address);
  if (value === undefined) return false;
  return ranges.some(({ first, prefixLength }) => (value ^ first) >> BigInt(128 - prefixLength) === 0n);
}

const IPV4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;
const IPV4_MAPPED = 0xffff_0000_0000n;

/** The address as a 128-bit number; IPv4 as IPv4-mapped IPv6 (RFC 4291 2.5.5.2). */
function parseAddress(text: string): bigint | undefined {
  if (!text.includes(":")) {
    const value = parseIpv4(text);
    return value === undefined ? undefined : IPV4_MAPPED | value;
  }
  return parseIpv6(text);
}

function parseIpv4(text: string): bigint | undefined {
  const octets = IPV4.exec(text)?.slice(1);
  if (octets === undefined) return undefined;
  let value = 0n;
  for (const octet of octets) {
    // A leading zero is octal to some parsers and decimal to others.
    if (Number(octet) > 255 || (octet.length > 1 && octet.startsWith("0"))) return undefined;
    value = (value << 8n) | BigInt(octet);
  }
  return value;
}

function parseIpv6(text: string): bigint | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const groups = halves.map((half) => parseGroups(half));
  const [head, tail] = groups;
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 8 ? joinGroups(head) : undefined;
  if (tail === undefined || head.length + tail.length > 7) return undefined;
  return joinGroups([...head, ...Array<bigint>(8 - head.length - tail.length).fill(0n), ...tail]);
}

function parseGroups(text: string): bigint[] | undefined {
  if (text === "") return [];
  const groups: bigint[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (part.includes(".") && index === parts.length - 1) {
      const value = parseIpv4(part);
      if (value === undefined) return undefined;
      groups.push(value >> 16n, value & 0xffffn);
    } else if (/^[0-9A-Fa-f]{1,4}$/.test(part)) {
      groups.push(BigInt(`0x${part}`));
    } else {
      return undefined;
    }
  }
  return groups;
}

function joinGroups(groups: readonly bigint[]): bigint {
  return groups.reduce((value, group) => (value << 16n) | group, 0n);
}
