export interface FuzzRun {
  readonly runs: number;
  /** Each with the seed that replays it. */
  readonly failures: readonly string[];
}

const HANG_MS = 10_000;
const MOST_FAILURES = 5;

/** One run for each seed, from the first on, until there are so many, the time is over, or enough have failed. */
export async function fuzzRun(options: {
  readonly firstSeed: number;
  /** Of performance.now(). */
  readonly untilMs: number;
  readonly runs: number;
  readonly run: (seed: number) => Promise<void>;
}): Promise<FuzzRun> {
  const failures: string[] = [];
  let runs = 0;
  while (runs < options.runs && performance.now() < options.untilMs && failures.length < MOST_FAILURES) {
    const seed = options.firstSeed + runs;
    runs++;
    try {
      await inTime(options.run(seed));
    } catch (error) {
      const { stack, cause } = error as Error;
      failures.push(`seed ${seed}: ${stack}${cause instanceof Error ? `\n${cause.stack}` : ""}`);
    }
  }
  return { runs, failures };
}

async function inTime(run: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const hung = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("it hangs")), HANG_MS);
  });
  try {
    await Promise.race([run, hung]);
  } finally {
    clearTimeout(timer);
  }
}
