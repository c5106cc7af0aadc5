import { DEMO_ID } from "../core/demo-seed.ts";

export interface QuickStartFacts {
  /** `http://host:port`, or `unix:/path`. */
  readonly url: string;
  /** Holds the token alone. */
  readonly tokenFile: string;
  /** Holds the token as a header line, for curl. */
  readonly headerFile: string;
  /** Where the commands keep the key that they make. */
  readonly keyFile: string;
}

/** The files in a data folder that the quick start names. */
export function quickStartFiles(dataDir: string): Omit<QuickStartFacts, "url"> {
  const folder = dataDir.replace(/\/+$/, "");
  return {
    tokenFile: `${folder}/admin-token`,
    headerFile: `${folder}/admin-header`,
    keyFile: `${folder}/first-key.json`,
  };
}

/**
 * What to try first, to be copied as it stands: make a key, check it, revoke it, with curl or with
 * grpcurl. No secret is an argument, where other users of the machine could read it.
 */
export function quickStart(facts: QuickStartFacts): string {
  const { tokenFile } = facts;
  return [
    `The first admin token is in ${tokenFile}. Make a key, check it, revoke it:`,
    "",
    ...curlCommands(facts).map((command) => `  ${command}`),
    "",
    "The same with grpcurl:",
    "",
    ...grpcurlCommands(facts).map((command) => `  ${command}`),
    "",
    "Or watch both shipped policies at work: npx tollgate demo",
  ].join("\n");
}

const CREATE = JSON.stringify({
  api: "retool",
  type: "access_token",
  workspaceId: DEMO_ID,
  userId: DEMO_ID,
  name: "first key",
  scopes: ["users.read"],
});

/** Reads the secret out of the key's file and writes a request with it, in compact and in spaced JSON alike. */
function requestWithSecret(keyFile: string, request: string): string {
  return `sed -n 's/.*"secret": *"\\([^"]*\\)".*/${request}/p' ${keyFile}`;
}

const CHECK = '{"api":"retool","key":"\\1","permission":"users.read"}';
const REVOKE = '{"key":"\\1","reason":"tried it out"}';

function curlCommands({ url, headerFile, keyFile }: QuickStartFacts): string[] {
  const isSocket = url.startsWith("unix:");
  const socket = isSocket ? ` --unix-socket ${url.slice("unix:".length)}` : "";
  const base = `${isSocket ? "http://localhost" : url}/tollgate.v1.AuthorizationService`;
  const call = (method: string) =>
    `curl -sS${socket} ${base}/${method} -H @${headerFile} -H 'Content-Type: application/json'`;
  return [
    `${call("CreateKey")} -d '${CREATE}' -o ${keyFile}`,
    `${requestWithSecret(keyFile, CHECK)} | ${call("Check")} -d @-`,
    `${requestWithSecret(keyFile, REVOKE)} | ${call("RevokeKey")} -d @-`,
  ];
}

function grpcurlCommands({ url, tokenFile, keyFile }: QuickStartFacts): string[] {
  const address = url.startsWith("unix:") ? `-unix ${url.slice("unix:".length)}` : url.replace("http://", "");
  const call = "grpcurl -plaintext -expand-headers -H 'authorization: Bearer ${TOLLGATE_TOKEN}'";
  const method = (name: string) => `${address} tollgate.v1.AuthorizationService/${name}`;
  return [
    `export TOLLGATE_TOKEN=$(cat ${tokenFile})`,
    `${call} -d '${CREATE}' ${method("CreateKey")} > ${keyFile}`,
    `${requestWithSecret(keyFile, CHECK)} | ${call} -d @ ${method("Check")}`,
    `${requestWithSecret(keyFile, REVOKE)} | ${call} -d @ ${method("RevokeKey")}`,
  ];
}
