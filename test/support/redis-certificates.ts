import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RedisTls } from "../../src/redis/tls-options.ts";
import { reapFolder } from "./reaper.ts";

/** Paths of PEM files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface Authority extends Certificate {
  /** A certificate of these hosts, such as `DNS:localhost,IP:127.0.0.1`. */
  sign(hosts: string): Certificate;
}

const FRESH_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];

/** An authority that nobody trusts but who is told to. */
export function createAuthority(): Authority {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-certificates-"));
  reapFolder(folder);
  let count = 0;
  const make = (...args: readonly string[]): Certificate => {
    const name = join(folder, String(count++));
    const files = { cert: `${name}.crt`, key: `${name}.key` };
    const out = ["-keyout", files.key, "-out", files.cert];
    execFileSync("openssl", ["req", "-x509", ...FRESH_KEY, ...args, ...out], { stdio: "ignore" });
    return files;
  };
  const own = make("-subj", "/CN=authority of a test");
  return {
    ...own,
    sign: (hosts) =>
      make(
        ...["-CA", own.cert, "-CAkey", own.key, "-subj", "/CN=of a test"],
        ...["-addext", `subjectAltName=${hosts}`, "-addext", "basicConstraints=critical,CA:FALSE"],
      ),
  };
}

/** How a server of Redis shows a certificate; clients show theirs where it asks. */
export function tlsArguments(
  { ca, own }: { ca: Certificate; own: Certificate },
  clients: "yes" | "no",
): string[] {
  const files = ["--tls-ca-cert-file", ca.cert, "--tls-cert-file", own.cert, "--tls-key-file", own.key];
  return [...files, "--tls-auth-clients", clients];
}

/** What a client trusts, and shows. */
export function clientTls(ca: Certificate, own?: Certificate): RedisTls {
  return {
    ca: readFileSync(ca.cert, "utf8"),
    ...(own === undefined
      ? {}
      : { cert: readFileSync(own.cert, "utf8"), key: readFileSync(own.key, "utf8") }),
  };
}
