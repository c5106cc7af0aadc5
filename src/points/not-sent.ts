/**
 * The cause of a take that failed because its time was up before it was sent to the store (this process was
 * busy), or nobody waited for it any more. It charged nothing, and says nothing about the store.
 */
export class NotSent extends Error {
  override readonly name = "NotSent";

  constructor() {
    super("the time was up, or nobody waited any more, before the take was sent");
  }
}
