/** A set of permissions by their index, as bits: 32 a word. All sets of one policy have the same length. */
export type PermissionSet = Readonly<Uint32Array>;

export function emptySet(permissionCount: number): Uint32Array {
  return new Uint32Array(Math.ceil(permissionCount / 32));
}

export function add(set: Uint32Array, index: number): void {
  const word = index >>> 5;
  set[word] = (set[word] as number) | (1 << (index & 31));
}

export function has(set: PermissionSet, index: number): boolean {
  return ((set[index >>> 5] as number) & (1 << (index & 31))) !== 0;
}

/** Adds all of `other` to `set`. */
export function addAll(set: Uint32Array, other: PermissionSet): void {
  for (let word = 0; word < set.length; word++) {
    set[word] = (set[word] as number) | (other[word] as number);
  }
}

export function intersection(a: PermissionSet, b: PermissionSet): Uint32Array {
  const result = new Uint32Array(a.length);
  for (let word = 0; word < a.length; word++) {
    result[word] = (a[word] as number) & (b[word] as number);
  }
  return result;
}
