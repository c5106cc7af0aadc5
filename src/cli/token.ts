import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import {
  type CallerToken,
  CallerTokenSchema,
  CreateCallerTokenResponseSchema,
  Grant,
} from "../gen/tollgate/v1/caller_service_pb.ts";
import type { AddCommand } from "./context.ts";
import { UsageError } from "./exit.ts";
import { present, printList, printMessage } from "./listing.ts";
import { formatTime, toList, toPoints, toTime } from "./option-value.ts";
import { looksLikeSecret } from "./secret-input.ts";
import { messageJson, openSession } from "./session.ts";
import { formatFacts } from "./terminal.ts";

const grants = {
  check: Grant.CHECK,
  consume: Grant.CONSUME,
  keys: Grant.KEYS,
  directory: Grant.DIRECTORY,
  admin: Grant.ADMIN,
};
const grantNames = Object.keys(grants).join(", ");

interface CreateOptions {
  name: string;
  grants: Grant[];
  apis?: string[];
  expires?: ReturnType<typeof toTime>;
  secretOnly?: true;
}

export const addToken: AddCommand = (parent, { terminal }) => {
  const group = parent
    .command("token")
    .description("caller tokens: what the services that call Tollgate authenticate with");

  group
    .command("create")
    .description("make a caller token; its secret is shown once")
    .requiredOption("--name <text>", "for people: which service holds it")
    .requiredOption("--grants <list>", `what it may do: ${grantNames}`, toGrants)
    .option("--apis <list>", "limit it to these apis", toList)
    .option("--expires <when>", "30d from now, a time (2027-01-31T12:00:00Z), or never", toTime)
    .option("--secret-only", "print nothing but the secret")
    .action(async (options: CreateOptions, command: Command) => {
      const session = openSession(command, terminal);
      const answer = await session.callers.createCallerToken({
        name: options.name,
        grants: options.grants,
        apis: options.apis ?? [],
        ...(options.expires !== undefined && options.expires !== "never" && { expireTime: options.expires }),
      });
      if (session.asJson) {
        terminal.print(messageJson(CreateCallerTokenResponseSchema, answer));
        return;
      }
      if (!options.secretOnly) {
        terminal.note(formatFacts(tokenFacts(present(answer.callerToken))));
        terminal.note("Its secret, shown this once:");
      }
      terminal.print(answer.secret);
    });

  group
    .command("list")
    .description("list caller tokens, newest first")
    .option("--limit <number>", "how many at most; 0: all", toPoints, 100)
    .action(async ({ limit }: { limit: number }, command: Command) => {
      const session = openSession(command, terminal);
      await printList(
        session,
        {
          schema: CallerTokenSchema,
          limit,
          head: ["id", "name", "grants", "apis", "made", "state"],
          row: (it) => [
            it.id,
            it.name,
            grantsOf(it),
            it.apis.join(" ") || "all",
            formatTime(it.createTime),
            stateOf(it),
          ],
        },
        async (page) => {
          const answer = await session.callers.listCallerTokens(page);
          return { items: answer.callerTokens, nextPageToken: answer.nextPageToken };
        },
      );
    });

  group
    .command("revoke <id>")
    .description("end a caller token, for good")
    .action(async (id: string, _options: object, command: Command) => {
      if (looksLikeSecret(id)) {
        throw new UsageError(
          "this is a caller token's secret and no id; `tollgate token list` tells the ids",
        );
      }
      const session = openSession(command, terminal);
      const answer = await session.callers.revokeCallerToken({ callerTokenId: id });
      const token = present(answer.callerToken);
      printMessage(session, CallerTokenSchema, token, tokenFacts(token));
    });
};

function toGrants(text: string, previous: readonly Grant[] = []): Grant[] {
  const named = toList(text).map((name) => {
    const grant = Object.entries(grants).find(([known]) => known === name)?.[1];
    if (grant === undefined) throw new InvalidArgumentError(`The grants are ${grantNames}.`);
    return grant;
  });
  return [...previous, ...named];
}

function tokenFacts(it: CallerToken): readonly (readonly [string, string])[] {
  return [
    ["id", it.id],
    ["name", it.name],
    ["grants", grantsOf(it)],
    ["apis", it.apis.join(" ") || "all"],
    ["made", formatTime(it.createTime)],
    ["state", stateOf(it)],
  ];
}

function grantsOf(token: CallerToken): string {
  return Object.entries(grants)
    .filter(([, grant]) => token.grants.includes(grant))
    .map(([name]) => name)
    .join(" ");
}

function stateOf(token: CallerToken): string {
  if (token.revokeTime !== undefined) return `revoked ${formatTime(token.revokeTime)}`;
  if (token.expireTime === undefined) return "active";
  const ended = Number(token.expireTime.seconds) * 1000 <= Date.now();
  return `${ended ? "expired" : "active until"} ${formatTime(token.expireTime)}`;
}
