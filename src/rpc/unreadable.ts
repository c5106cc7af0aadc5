import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { errorFromJsonBytes } from "@connectrpc/connect/protocol-connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag, trailerParse } from "@connectrpc/connect/protocol-grpc-web";
import { errorInfo } from "./errors.ts";

/**
 * Connect's error about a request that it could not read, with an ErrorInfo, and without what the body
 * says: it may be a secret that stands in the wrong place.
 */
export function unreadable(error: ConnectError, input: DescMessage): ConnectError {
  const { code, message } = described(error, input);
  return new ConnectError(message, code, undefined, [errorInfo({ reason: "REQUEST_UNREADABLE" })]);
}

function described({ code, rawMessage }: ConnectError, input: DescMessage): { code: Code; message: string } {
  if (rawMessage.startsWith("parse binary: ")) {
    const message = /utf-?8/i.test(rawMessage)
      ? `A text of the ${input.typeName} is not UTF-8.`
      : `The body is not a ${input.typeName} in protobuf's binary form.`;
    return { code: Code.InvalidArgument, message };
  }
  // These are about the protocol; everything else with this code is about a JSON body, and quotes it.
  if (code !== Code.InvalidArgument || /^(protocol error|decompress)/.test(rawMessage)) {
    return { code, message: rawMessage };
  }
  return { code, message: jsonFault(rawMessage, input) };
}

/** Only names that the proto files have are taken from Connect's message, and misspelt ones. */
function jsonFault(message: string, input: DescMessage): string {
  const [, kind, name, fault] =
    /^cannot decode (field|oneof|message|enum) ([\w.]+) from JSON: (.*)$/s.exec(message) ?? [];
  if (name === undefined || fault === undefined) return `The body is not a ${input.typeName} in JSON.`;
  if (kind === "enum") return `A value in the body is not a ${name} in JSON.`;
  if (kind === "message") {
    // Longer than any field's name is what might be a secret.
    const key = /^key "([A-Za-z]\w{0,31})" is unknown$/.exec(fault)?.[1];
    if (key !== undefined) return `The body has a field "${key}" that ${name} does not have.`;
    if (/^key ".*" is unknown$/s.test(fault)) return `The body has a field that ${name} does not have.`;
    return name === input.typeName
      ? `The body is not a ${name} in JSON.`
      : `A value in the body is not a ${name} in JSON.`;
  }
  const member = name.slice(name.lastIndexOf(".") + 1);
  if (/^(oneof )?set multiple times/.test(fault)) return `${member}: set more than once`;
  const field = fieldByName(input, name, new Set());
  return field === undefined ? `${member}: not of its type` : `${member}: expected ${typeOf(field)}`;
}

function fieldByName(message: DescMessage, name: string, seen: Set<DescMessage>): DescField | undefined {
  seen.add(message);
  for (const field of message.fields) {
    if (`${message.typeName}.${field.name}` === name) return field;
  }
  for (const { message: inner } of message.fields) {
    const found = inner === undefined || seen.has(inner) ? undefined : fieldByName(inner, name, seen);
    if (found !== undefined) return found;
  }
  return undefined;
}

function typeOf(field: DescField): string {
  const type =
    field.message?.typeName ??
    field.enum?.typeName ??
    (field.scalar === undefined ? "a value" : ScalarType[field.scalar].toLowerCase());
  if (field.fieldKind === "list") return `list of ${type}`;
  return field.fieldKind === "map" ? `map to ${type}` : type;
}

/** The error in a unary answer of any protocol, and the answer, whose body can be read once only. */
export async function errorIn(
  answer: UniversalServerResponse,
): Promise<{ error: ConnectError | undefined; answer: UniversalServerResponse }> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer.body ?? []) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  return { error: errorOf(answer, bytes), answer: { ...answer, body: once(bytes) } };
}

function errorOf(
  { header, status, trailer }: UniversalServerResponse,
  bytes: Buffer,
): ConnectError | undefined {
  if (trailer !== undefined) return findTrailerError(trailer);
  const type = header?.get("content-type") ?? "";
  if (type.startsWith("application/grpc-web")) {
    // Flags, four bytes of length, and then the trailer as text; an answer that failed has no message.
    return bytes[0] === trailerFlag ? findTrailerError(trailerParse(bytes.subarray(5))) : undefined;
  }
  if (status === 200 || type !== "application/json") return undefined;
  return errorFromJsonBytes(bytes, undefined, new ConnectError("unreadable", Code.InvalidArgument));
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** What Connect looks at before the body, and refuses by itself. */
export const READ_BEFORE_BODY = [
  "content-length",
  "grpc-encoding",
  "content-encoding",
  "grpc-timeout",
  "connect-timeout-ms",
];
