import { type FSWatcher, watch } from "node:fs";
import type { PolicySet } from "../core/policy-set.ts";
import { type LoadResult, loadPolicies } from "./load.ts";
import { listPolicyFiles } from "./policy-files.ts";
import type { FileProblem } from "./problem.ts";

export interface WatchOptions {
  /** What is loaded now. */
  readonly current: PolicySet;
  /** A good load that differs from what is in force, or follows a bad one, or was asked for. */
  readonly onChange: (set: PolicySet) => void;
  /** A bad load, or one that failed for another reason; what was in force stays. */
  readonly onError: (errors: readonly FileProblem[]) => void;
  /** How long the files must stay as they are before they are read; default 100. */
  readonly settleMs?: number;
  /** How often they are looked at, whatever the system tells of changes; default 3000. */
  readonly pollMs?: number;
}

export interface PolicyWatch {
  /**
   * Loads now, whether or not a file changed, and tells the outcome; for SIGHUP. What fails is told too,
   * never thrown.
   */
  reload(): Promise<void>;
  /** Nothing is told any more once it has returned. */
  close(): void;
}

/**
 * Loads a folder's policies anew when its files change: all or nothing. The system's notices only wake
 * it up. They miss swapped symbolic links (Kubernetes) and replaced folders, so the files' versions are
 * also looked at every few seconds.
 */
export function watchPolicies(folder: string, options: WatchOptions): PolicyWatch {
  const { onChange, onError, settleMs = 100, pollMs = 3_000 } = options;
  let inForce = digestsOf(options.current);
  /** Of the files, when a load of them was told last. */
  let toldVersion: string | undefined;
  /** Of the files, at the last look. */
  let seenVersion: string | undefined;
  let lastWasBad = false;
  let isClosed = false;
  let work = Promise.resolve();
  let settling: NodeJS.Timeout | undefined;

  function tell(result: LoadResult, asked: "by change" | "by reload"): void {
    if ("errors" in result) {
      tellErrors(result.errors);
      return;
    }
    if (isClosed) return;
    const digests = digestsOf(result.set);
    const isNew = digests !== inForce || lastWasBad || asked === "by reload";
    inForce = digests;
    lastWasBad = false;
    if (isNew) onChange(result.set);
  }

  function tellErrors(errors: readonly FileProblem[]): void {
    if (isClosed) return;
    lastWasBad = true;
    onError(errors);
  }

  /** One load at a time, in the order of asking. */
  function enqueue(task: () => Promise<void>): Promise<void> {
    work = reported(work.then(() => (isClosed ? undefined : task())));
    return work;
  }

  /** What fails unforeseen is told as a bad load is: nobody else would hear of it. */
  function reported(done: Promise<void>): Promise<void> {
    return done.catch((error: unknown) => {
      tellErrors([{ file: folder, line: 1, column: 1, message: String(error) }]);
    });
  }

  /** Loads what two looks in a row have seen the same: a file that is being written is half a policy. */
  async function look(): Promise<void> {
    const version = await versionOf(folder);
    if (version === toldVersion) return;
    if (version !== seenVersion) {
      seenVersion = version;
      wake();
      return;
    }
    const result = await loadPolicies(folder);
    if ((await versionOf(folder)) !== version) {
      wake();
      return;
    }
    toldVersion = version;
    tell(result, "by change");
  }

  /** A look that is due is not put off: notices that never cease would put it off for ever. */
  function wake(): void {
    if (isClosed || settling !== undefined) return;
    settling = setTimeout(() => {
      settling = undefined;
      void enqueue(look);
    }, settleMs);
    settling.unref();
  }

  const poll = setInterval(wake, pollMs);
  poll.unref();
  const notices = noticesOf(folder, wake);
  wake();

  return {
    reload: () =>
      enqueue(async () => {
        const version = await versionOf(folder);
        const result = await loadPolicies(folder);
        toldVersion = version;
        tell(result, "by reload");
      }),
    close() {
      isClosed = true;
      clearTimeout(settling);
      clearInterval(poll);
      notices?.close();
    },
  };
}

/** Undefined where the folder cannot be watched now: then the looks every few seconds do. */
function noticesOf(folder: string, wake: () => void): FSWatcher | undefined {
  try {
    const notices = watch(folder, { persistent: false }, wake);
    notices.on("error", () => notices.close());
    return notices;
  } catch {
    return undefined;
  }
}

/** What the folder's files are now, as one text; a folder that cannot be read has the version of its fault. */
async function versionOf(folder: string): Promise<string> {
  try {
    const files = await listPolicyFiles(folder);
    return files.map(({ path, version }) => `${path} ${version}`).join("\n");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return `fault ${code}`;
  }
}

function digestsOf(set: PolicySet): string {
  return [...set.policies.values()].map(({ api, digest }) => `${api} ${digest}`).join("\n");
}
