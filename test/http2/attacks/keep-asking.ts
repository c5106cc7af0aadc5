/** Asks one thing after another all the while, and looks at each answer. */
export interface GoodClient {
  /** Answers so far. Throws what was wrong with one. */
  answers(): number;
  /** Ends it. Throws what was wrong with an answer. */
  stop(): Promise<void>;
}

/** `ask` is told how many answers there were before, and throws what is wrong with its own. */
export function keepAsking(ask: (answersBefore: number) => Promise<void>): GoodClient {
  let isOver = false;
  let answers = 0;
  async function askOn(): Promise<void> {
    while (!isOver) {
      await ask(answers);
      answers++;
    }
  }
  const asking = askOn();
  let failure: unknown;
  asking.catch((error: unknown) => {
    failure = error;
  });
  return {
    answers() {
      if (failure !== undefined) throw failure;
      return answers;
    },
    async stop() {
      isOver = true;
      await asking;
    },
  };
}
