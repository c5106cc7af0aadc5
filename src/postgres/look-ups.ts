import { storeUnavailable } from "../core/errors.ts";
import type { Deadline } from "../core/ports.ts";
import { settledBy } from "../core/settled-by.ts";

/** In one query: more would keep its connection from others. */
const MOST_IDS = 100;

interface Group<T> {
  readonly ids: Set<string>;
  /** The latest of those who wait. */
  deadline: Deadline;
  readonly found: Promise<ReadonlyMap<string, T>>;
}

/**
 * Look-ups that are asked for at once go in one query, which is sent after the last of them: a batch of a hundred, or a
 * flood of unknown keys, costs a hundredth. Each settles by its own deadline.
 */
export function createLookUps<T>(
  read: (ids: readonly string[], deadline: Deadline) => Promise<ReadonlyMap<string, T>>,
): (id: string, deadline: Deadline) => Promise<T | undefined> {
  let open: Group<T> | undefined;

  function openGroup(deadline: Deadline): Group<T> {
    const sending = new Promise<void>((resolve) => process.nextTick(resolve));
    const group: Group<T> = { ids: new Set(), deadline, found: sending.then(() => send(group)) };
    return group;
  }

  function send(group: Group<T>): Promise<ReadonlyMap<string, T>> {
    if (open === group) open = undefined;
    return read([...group.ids], group.deadline);
  }

  return async (id, deadline) => {
    if (open === undefined || open.ids.size >= MOST_IDS) open = openGroup(deadline);
    const group = open;
    group.ids.add(id);
    group.deadline = Math.max(group.deadline, deadline);
    const found = await settledBy(group.found, {
      deadline,
      missed: () => storeUnavailable("postgres", new Error("the deadline passed while a record was read")),
    });
    return found.get(id);
  };
}
