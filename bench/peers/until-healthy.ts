const patienceMs = 20_000;

/** Asks until it is answered 200; throws, with the last answer, when it is not in time. */
export async function untilHealthy(url: string): Promise<void> {
  const givesUpAtMs = performance.now() + patienceMs;
  while (true) {
    const answer = await fetch(url).then(
      ({ status }) => String(status),
      (error: Error) => (error.cause instanceof Error ? error.cause : error).message,
    );
    if (answer === "200") return;
    if (performance.now() > givesUpAtMs) throw new Error(`${url} is not healthy: ${answer}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
