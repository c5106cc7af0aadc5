import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { reapFolder } from "../support/reaper.ts";
import { documentedYaml } from "./envoy-documentation.ts";

interface TransportSocket {
  [field: string]: unknown;
  typed_config: {
    common_tls_context: {
      tls_certificates: [{ certificate_chain: { filename: string }; private_key: { filename: string } }];
    };
  };
}

/** TLS as docs/gateways/envoy.md says, with a certificate of its own that nobody has signed. */
export function documentedTls(): TransportSocket {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-tls-"));
  reapFolder(folder);
  const [chain, key] = [join(folder, "tls.crt"), join(folder, "tls.key")];
  const subject = ["-subj", "/CN=api.retrac.co", "-days", "2"];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  execFileSync("/usr/bin/openssl", ["req", "-x509", ...curve, ...subject, "-keyout", key, "-out", chain], {
    stdio: "ignore",
  });
  const { transport_socket } = documentedYaml<{ transport_socket: TransportSocket }>("envoy.md", "TLS");
  const [certificate] = transport_socket.typed_config.common_tls_context.tls_certificates;
  certificate.certificate_chain.filename = chain;
  certificate.private_key.filename = key;
  return transport_socket;
}
