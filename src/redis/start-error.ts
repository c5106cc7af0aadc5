import { TollgateError } from "../core/errors.ts";
import { plainError } from "./plain-error.ts";
import { NoMaster } from "./sentinels.ts";

/** What stopped the start, for people; the cause's own word follows, and nothing else of the cause. */
export function startError(cause: unknown, shown: string): TollgateError {
  const plain = plainError(cause);
  const [problem, reason] = startProblem(cause, {
    message: plain.message,
    isTls: shown.startsWith("rediss"),
  });
  const code = reason === "REDIS_REFUSED" ? "failed_precondition" : "unavailable";
  const message = `REDIS_URL (${shown}): ${problem} (${plain.message})`;
  return new TollgateError(code, message, { reason, cause: plain });
}

type StartProblem = readonly [problem: string, reason: "REDIS_REFUSED" | "REDIS_UNREACHABLE"];

function startProblem(cause: unknown, { message, isTls }: { message: string; isTls: boolean }): StartProblem {
  if (cause instanceof NoMaster) return sentinelProblem(message);
  const told = tlsProblem(cause, message) ?? serverProblem(message);
  if (told !== undefined) return told;
  // A server that gives up while TLS is set up, or that gets TLS and speaks none, seldom says why.
  if (isTls && IS_CUT.test(message)) {
    return [
      "the server cut the connection off; does it take the certificate of REDIS_TLS_CERT_FILE, and speak TLS on this port",
      "REDIS_UNREACHABLE",
    ];
  }
  if (isTls && message.startsWith("no answer")) {
    return ["Redis cannot be reached, or does not speak TLS on this port", "REDIS_UNREACHABLE"];
  }
  if (!isTls && (IS_CUT.test(message) || message.startsWith("Protocol error"))) {
    return [
      "the server cut the connection off; if it speaks only TLS on this port, the URL begins with rediss://",
      "REDIS_UNREACHABLE",
    ];
  }
  return ["Redis cannot be reached", "REDIS_UNREACHABLE"];
}

const IS_CUT = /ECONNRESET|EPIPE|Connection is closed|disconnected before secure/;

/** Redis's own word tells a wrong password from a missing one, and never repeats it. */
function serverProblem(message: string): StartProblem | undefined {
  if (message.startsWith("NOAUTH")) {
    return ["Redis asks for a password; write it into the URL: redis://:password@host:port", "REDIS_REFUSED"];
  }
  if (/^(WRONGPASS|ERR (AUTH|invalid password))/.test(message)) {
    return ["Redis takes another user or password than the URL has", "REDIS_REFUSED"];
  }
  if (/^(NOPERM|ERR (invalid DB index|DB index))/.test(message)) {
    return [
      "Redis does not allow what Tollgate needs; docs/points.md has the rights needed",
      "REDIS_REFUSED",
    ];
  }
  return undefined;
}

function sentinelProblem(message: string): StartProblem {
  if (/NOAUTH|WRONGPASS|ERR AUTH/.test(message)) {
    return [
      "the Sentinels ask for a password, or another one; set REDIS_SENTINEL_PASSWORD (and REDIS_SENTINEL_USER)",
      "REDIS_REFUSED",
    ];
  }
  if (message.includes("No such master")) {
    return ["the Sentinels know no master of the name that follows them in the URL", "REDIS_REFUSED"];
  }
  if (message.includes("NOPERM")) {
    return [
      "the Sentinels do not allow what Tollgate needs: SENTINEL GET-MASTER-ADDR-BY-NAME and SENTINEL MASTER",
      "REDIS_REFUSED",
    ];
  }
  const tls = tlsProblem(undefined, message);
  return tls ?? ["no Sentinel can be reached", "REDIS_UNREACHABLE"];
}

/** Undefined: TLS is not what failed. */
function tlsProblem(cause: unknown, message: string): StartProblem | undefined {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const has = (pattern: RegExp): boolean => pattern.test(code) || pattern.test(message);
  if (has(/ALTNAME|altnames/)) {
    return [
      "the certificate is of another host: connect to a name or address that it has, or give the server one that has this",
      "REDIS_REFUSED",
    ];
  }
  if (has(/CERT_HAS_EXPIRED|certificate has expired/)) {
    return ["the server's certificate has expired; renew it", "REDIS_REFUSED"];
  }
  if (has(/SELF_SIGNED|self-signed|UNABLE_TO|unable to (verify|get)|CERT_SIGNATURE_FAILURE/)) {
    return [
      "nobody who is trusted signed the server's certificate; set REDIS_TLS_CA_FILE to the certificate of who did",
      "REDIS_REFUSED",
    ];
  }
  if (has(/alert certificate required|CERTIFICATE_REQUIRED|alert handshake failure/i)) {
    return [
      "the server asks for a certificate of the client; set REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE",
      "REDIS_REFUSED",
    ];
  }
  if (has(/alert (unknown ca|bad certificate|certificate (unknown|expired))/i)) {
    return ["the server does not take the certificate of REDIS_TLS_CERT_FILE", "REDIS_REFUSED"];
  }
  if (has(/wrong version number|packet length too long/i)) {
    return [
      "the server does not speak TLS on this port; rediss:// is for TLS, redis:// for none",
      "REDIS_UNREACHABLE",
    ];
  }
  return undefined;
}
