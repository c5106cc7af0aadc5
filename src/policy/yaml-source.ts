import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type ParsedNode,
  parseDocument,
  visit,
} from "yaml";
import type { FileProblem, Problem } from "./problem.ts";

/** Larger files are refused unread. */
export const MAX_FILE_BYTES = 1024 * 1024;
/** Times that one anchor may be used, counted through aliases of aliases. */
const MAX_ALIAS_COUNT = 100;

/** A YAML file's value, and where in the text its parts stand. */
export interface YamlSource {
  readonly value: unknown;
  /** Puts problems into their places, in the order of the text, without repeats. */
  locate(problems: readonly Problem[]): FileProblem[];
}

/**
 * Reads one YAML 1.2 document. `file` is for messages. Repeated keys, unknown tags, several documents
 * and aliases that multiply are problems.
 */
export function readYaml(
  text: string,
  file: string,
): { readonly source: YamlSource } | { readonly problems: readonly FileProblem[] } {
  if (Buffer.byteLength(text) > MAX_FILE_BYTES) {
    return {
      problems: [{ file, line: 1, column: 1, message: `The file is larger than ${MAX_FILE_BYTES} bytes.` }],
    };
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const position = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const faults = faultsOf(document);
  if (faults.length > 0) {
    return { problems: faults.map(({ offset, message }) => ({ ...position(offset), message })) };
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: MAX_ALIAS_COUNT });
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    return {
      problems: [{ file, line: 1, column: 1, message: `Aliases are used too often: ${error.message}.` }],
    };
  }
  const offsetOf = (problem: Problem) => findOffset(document.contents, problem, (node) => resolve(node));
  const resolve = (node: unknown): unknown => (isAlias(node) ? node.resolve(document) : node);
  return { source: { value, locate } };

  function locate(problems: readonly Problem[]): FileProblem[] {
    const seen = new Set<string>();
    return problems
      .map((problem) => ({ offset: offsetOf(problem), problem }))
      .sort((a, b) => a.offset - b.offset)
      .map(({ offset, problem }) => ({ ...position(offset), message: problem.message }))
      .filter(({ line, column, message }) => {
        const identity = `${line}:${column}:${message}`;
        return !seen.has(identity) && seen.add(identity) !== undefined;
      });
  }
}

interface Fault {
  readonly offset: number;
  readonly message: string;
}

function faultsOf(document: Document.Parsed): readonly Fault[] {
  const faults = [...document.errors, ...document.warnings];
  // What follows a tab is misread: it would only be said what follows from the tab.
  const tabs = faults.filter(({ code }) => code === "TAB_AS_INDENT");
  const told = (tabs.length > 0 ? tabs : faults).map((fault) => ({
    offset: fault.pos[0],
    message: sentence(fault),
  }));
  return told.length > 0 ? told : badKeys(document);
}

/** Keys that would be lost, or fall together, when maps become objects. */
function badKeys(document: Document.Parsed): readonly Fault[] {
  const bad: Fault[] = [];
  visit(document, {
    Map(_, map) {
      const names = new Set<string>();
      for (const { key } of map.items) {
        const offset = startOf(key) ?? 0;
        const name = isScalar(key) ? String(key.value) : "__proto__";
        if (name === "__proto__") bad.push({ offset, message: "This cannot be a key; write a name." });
        else if (names.has(name)) bad.push({ offset, message: DUPLICATE_KEY });
        names.add(name);
      }
    },
  });
  return bad;
}

/** Follows the path as far as it is there: what is missing is reported where it is missing from. */
function findOffset(root: ParsedNode | null, problem: Problem, resolve: (node: unknown) => unknown): number {
  let node: unknown = root;
  let offset = startOf(node) ?? 0;
  for (const [depth, part] of problem.path.entries()) {
    const collection = resolve(node);
    let keyOffset: number | undefined;
    if (isMap(collection)) {
      const pair = collection.items.find(
        ({ key }) => String(isScalar(key) ? key.value : key) === String(part),
      );
      if (pair === undefined) break;
      keyOffset = startOf(pair.key);
      node = pair.value;
    } else if (isSeq(collection) && typeof part === "number" && part < collection.items.length) {
      node = collection.items[part];
    } else {
      break;
    }
    const isLast = depth === problem.path.length - 1;
    // A map that misses something is pointed at by the key that holds it.
    const wantsKey = !isLast || problem.at === "key";
    offset = (wantsKey ? (keyOffset ?? startOf(node)) : (startOf(node) ?? keyOffset)) ?? offset;
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}

const DUPLICATE_KEY = "This key stands twice in the map; keep one.";
const PLAIN_WORDS: Readonly<Record<string, string>> = {
  DUPLICATE_KEY,
  MULTIPLE_DOCS: "There are several documents; write one a file.",
  TAB_AS_INDENT: "Tabs may not indent; use spaces.",
};

function sentence(fault: { code: string; message: string }): string {
  return PLAIN_WORDS[fault.code] ?? `This is not YAML: ${fault.message}`;
}
