import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { messageJson, type Session } from "./session.ts";
import { formatFacts, formatTable } from "./terminal.ts";

/** The server's own bound on a page. */
const mostInPage = 500;

export interface ListPage<T> {
  readonly items: readonly T[];
  readonly nextPageToken: string;
}

/** Walks a paged list until its end, or until `limit` items (0: all of them). */
export async function* walkPages<T>(
  limit: number,
  readPage: (page: { pageSize: number; pageToken: string }) => Promise<ListPage<T>>,
): AsyncGenerator<T, { more: boolean }> {
  let left = limit === 0 ? Number.POSITIVE_INFINITY : limit;
  let pageToken = "";
  while (left > 0) {
    const page = await readPage({ pageSize: Math.min(left, mostInPage), pageToken });
    yield* page.items;
    left -= page.items.length;
    pageToken = page.nextPageToken;
    if (pageToken === "") return { more: false };
  }
  return { more: true };
}

export interface Listing<Desc extends DescMessage> {
  readonly schema: Desc;
  readonly head: readonly string[];
  readonly row: (item: MessageShape<Desc>) => readonly string[];
  readonly limit: number;
}

/** Prints a paged list: a table, or with --json an object a line, each page as it arrives. */
export async function printList<Desc extends DescMessage>(
  session: Session,
  listing: Listing<Desc>,
  readPage: (page: { pageSize: number; pageToken: string }) => Promise<ListPage<MessageShape<Desc>>>,
): Promise<void> {
  const { terminal } = session;
  const rows: (readonly string[])[] = [];
  const pages = walkPages(listing.limit, readPage);
  let step = await pages.next();
  for (; !step.done; step = await pages.next()) {
    if (session.asJson) terminal.print(messageJson(listing.schema, step.value));
    else rows.push(listing.row(step.value));
  }
  if (!session.asJson && rows.length > 0) terminal.print(formatTable(listing.head, rows));
  if (!session.asJson && rows.length === 0) terminal.note("none");
  if (step.value.more) terminal.note(`There are more: --limit 0 lists all.`);
}

/** Prints one message: names and values, or with --json an object. */
export function printMessage<Desc extends DescMessage>(
  session: Session,
  schema: Desc,
  message: MessageShape<Desc>,
  facts: readonly (readonly [string, string])[],
): void {
  session.terminal.print(session.asJson ? messageJson(schema, message) : formatFacts(facts));
}

/** The message that an answer always holds; a server that leaves it out is not Tollgate. */
export function present<T>(message: T | undefined): T {
  if (message === undefined)
    throw new Error("the answer lacks what it must hold: is this a Tollgate server?");
  return message;
}
