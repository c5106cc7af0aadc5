import { DEMO_ID, type DemoExample } from "../core/demo-seed.ts";

export interface QuickStartFacts {
  /** `http://host:port`, or `unix:/path`. */
  readonly url: string;
  /** Holds the token alone. */
  readonly tokenFile: string;
  /** Holds the token as a header line, for curl. */
  readonly headerFile: string;
  /** Where the commands keep the key that they make. */
  readonly keyFile: string;
  readonly example: DemoExample;
  /** Whether `tollgate demo` has the policies that it plays. */
  readonly hasDemo: boolean;
}

/** The files in a data folder that the quick start names. */
export function quickStartFiles(
  dataDir: string,
): Pick<QuickStartFacts, "tokenFile" | "headerFile" | "keyFile"> {
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
  const { url, tokenFile, hasDemo } = facts;
  return [
    `The first admin token is in ${tokenFile}. Make a key, check it, revoke it:`,
    "",
    ...curlCommands(facts).map((command) => `  ${command}`),
    "",
    "The same with grpcurl:",
    "",
    ...grpcurlCommands(facts).map((command) => `  ${command}`),
    ...(hasDemo
      ? [
          "",
          `Or watch both shipped policies at work: npx tollgate demo --url ${url} --token-file ${tokenFile}`,
        ]
      : []),
  ].join("\n");
}

function createRequest({ api, type, scopes }: DemoExample): string {
  const key = { api, type, workspaceId: DEMO_ID, userId: DEMO_ID, name: "first key" };
  return JSON.stringify(scopes.length === 0 ? key : { ...key, scopes });
}

/** `\\1` stands for the secret. */
function checkRequest({ api, permission, namesWorkspace }: DemoExample): string {
  const check = { api, key: "\\1", permission };
  return withSecret(namesWorkspace ? { ...check, workspaceId: DEMO_ID } : check);
}

const REVOKE_REQUEST = withSecret({ key: "\\1", reason: "tried it out" });

/** As text for sed, in which the secret is the first group. */
function withSecret(request: object): string {
  return JSON.stringify(request).replace("\\\\1", "\\1");
}

/** Reads the secret out of the key's file and writes a request with it, in compact and in spaced JSON alike. */
function requestFrom(keyFile: string, request: string): string {
  return `sed -n 's/.*"secret": *"\\([^"]*\\)".*/${request}/p' ${keyFile}`;
}

function curlCommands({ url, headerFile, keyFile, example }: QuickStartFacts): string[] {
  const isSocket = url.startsWith("unix:");
  const socket = isSocket ? ` --unix-socket ${url.slice("unix:".length)}` : "";
  const base = `${isSocket ? "http://localhost" : url}/tollgate.v1.AuthorizationService`;
  const call = (method: string) =>
    `curl -sS --fail-with-body${socket} ${base}/${method} -H @${headerFile} -H 'Content-Type: application/json'`;
  return [
    `${call("CreateKey")} -d '${createRequest(example)}' -o ${keyFile}`,
    `${requestFrom(keyFile, checkRequest(example))} | ${call("Check")} -d @-`,
    `${requestFrom(keyFile, REVOKE_REQUEST)} | ${call("RevokeKey")} -d @-`,
  ];
}

function grpcurlCommands({ url, tokenFile, keyFile, example }: QuickStartFacts): string[] {
  const address = url.startsWith("unix:") ? `-unix ${url.slice("unix:".length)}` : url.replace("http://", "");
  const call = "grpcurl -plaintext -expand-headers -H 'authorization: Bearer ${TOLLGATE_TOKEN}'";
  const method = (name: string) => `${address} tollgate.v1.AuthorizationService/${name}`;
  return [
    `export TOLLGATE_TOKEN=$(cat ${tokenFile})`,
    `${call} -d '${createRequest(example)}' ${method("CreateKey")} > ${keyFile}`,
    `${requestFrom(keyFile, checkRequest(example))} | ${call} -d @ ${method("Check")}`,
    `${requestFrom(keyFile, REVOKE_REQUEST)} | ${call} -d @ ${method("RevokeKey")}`,
  ];
}
