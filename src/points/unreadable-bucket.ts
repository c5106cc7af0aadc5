/**
 * The cause of a take that failed because a bucket's stored state cannot be read. The store itself works:
 * takes of other buckets do not fail.
 */
export class UnreadableBucket extends Error {
  override readonly name = "UnreadableBucket";

  constructor() {
    super("the stored state of a bucket cannot be read");
  }
}
