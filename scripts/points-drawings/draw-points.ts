import type { Redis } from "ioredis";
import type { SetClockOptions } from "../../test/redis/set-clock.ts";
import { stories } from "./stories.ts";
import { runStory } from "./story-run.ts";
import { timelineSvg } from "./timeline-svg.ts";

/**
 * Runs every story and draws it: file, from the checkout's root, to its text. The same bytes each time, as long
 * as the script decides the same. `edit`: see SetClockOptions; for tests.
 */
export async function drawPoints(
  redis: Redis,
  { edit }: Pick<SetClockOptions, "edit"> = {},
): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  for (const story of stories) {
    const run = await runStory(redis, story, edit === undefined ? {} : { edit });
    files.set(`docs/points/${story.name}.svg`, timelineSvg(story, run));
  }
  return files;
}
