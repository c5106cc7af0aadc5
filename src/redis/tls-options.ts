import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";

/** PEM. Undefined: the authorities that Node.js knows, and no certificate of our own. */
export interface RedisTls {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** Without `host` for servers that are not known yet: they are checked all the same, and not told the name. */
export function tlsOptions({ ca, cert, key }: RedisTls, host = ""): ConnectionOptions {
  return {
    // Otherwise NODE_TLS_REJECT_UNAUTHORIZED decides.
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    // A name is told to the server (SNI), which an address may not be; both are checked.
    ...(host === "" || isIP(host) !== 0 ? {} : { servername: host }),
  };
}
