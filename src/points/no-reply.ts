/** What became of a take: it charged, it surely did nothing, or nobody will ever know. */
export type Fate = "charged" | "nothing" | "unknown";

/** The cause of a take that was sent, and whose reply did not come in time: it may have charged. */
export class NoReply extends Error {
  override readonly name = "NoReply";
  /** Known when the reply comes after all, or its connection ends. Never rejects. */
  readonly fate: Promise<Fate>;

  constructor(message: string, fate: Promise<Fate>) {
    super(message);
    this.fate = fate;
  }
}
