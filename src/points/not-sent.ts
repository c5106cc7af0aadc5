/**
 * The cause of a take that failed because its time was up before it was sent to the store: this process was
 * busy. It charged nothing, and says nothing about the store.
 */
export class NotSent extends Error {
  override readonly name = "NotSent";

  constructor() {
    super("the time was up before the take was sent");
  }
}
