import { type CpuProfile, type ProfileNode, samplesBetween } from "./cpu-profile.ts";
import { type Step, shownPath, stepOf } from "./steps.ts";

/** A function as called by the one above it, and what it cost. Times are microseconds of CPU a Check. */
export interface Frame {
  readonly name: string;
  /** Without the machine's folders; empty of what is not JavaScript. */
  readonly file: string;
  readonly step: Step;
  readonly selfUs: number;
  /** With all that it called. */
  readonly totalUs: number;
  /** By name: the same order in each run. */
  readonly children: readonly Frame[];
}

export interface CheckCost {
  /** When the load ran, by the monotonic clock. */
  readonly fromUs: number;
  readonly untilUs: number;
  /** CPU a Check of the thread that the profile is of. */
  readonly mainThreadUs: number;
  /** CPU a Check of the process's other threads. */
  readonly otherThreadsUs: number;
}

/**
 * The whole cost of a Check as a tree. The main thread's is spread over the profile's samples; while it was idle
 * it cost nothing. A frame that belongs to no step belongs to its caller's.
 */
export function frameTree(profile: CpuProfile, cost: CheckCost): Frame {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const counts = samplesBetween(profile, cost);
  const isIdle = ({ callFrame }: ProfileNode) => callFrame.functionName === "(idle)";
  const busy = [...counts].filter(([id]) => !isIdle(nodes.get(id) as ProfileNode));
  const usPerSample = cost.mainThreadUs / busy.reduce((sum, [, count]) => sum + count, 0);

  /** Nodes of one function under one caller: V8 has several where it compiled the caller more than once. */
  const merge = (same: readonly ProfileNode[], callerStep: Step | undefined): Frame => {
    const [{ callFrame }] = same as [ProfileNode];
    const step = stepOf(callFrame) ?? callerStep;
    const file = shownPath(callFrame.url);
    const called = same.flatMap(({ children = [] }) => children.map((id) => nodes.get(id) as ProfileNode));
    const groups = new Map<string, ProfileNode[]>();
    for (const node of called.filter((node) => !isIdle(node))) {
      const identity = identityOf(node);
      groups.set(identity, [...(groups.get(identity) ?? []), node]);
    }
    const children = [...groups]
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([, group]) => merge(group, step));
    const samples = same.reduce((sum, { id }) => sum + (counts.get(id) ?? 0), 0);
    return frameOf({
      name: callFrame.functionName || "(anonymous)",
      file,
      step: step ?? (file === "" || file.startsWith("node:") ? "node" : "other"),
      selfUs: samples * usPerSample,
      children,
    });
  };

  const main = merge(profile.nodes.slice(0, 1), undefined);
  const threads = frameOf({
    name: "(other threads)",
    file: "",
    step: "threads",
    selfUs: cost.otherThreadsUs,
    children: [],
  });
  return frameOf({ ...main, name: "a Check", children: [...main.children, threads] });
}

function identityOf({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string {
  return `${functionName}\n${url}\n${lineNumber}`;
}

function frameOf(frame: Omit<Frame, "totalUs">): Frame {
  return { ...frame, totalUs: frame.children.reduce((sum, { totalUs }) => sum + totalUs, frame.selfUs) };
}
