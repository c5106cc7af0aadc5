import type { Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";

/** On a free port, which it prints. */
export function listenAsHello(server: Http2Server): void {
  server.listen(0, "127.0.0.1", () => {
    process.stdout.write(`ready http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
  });
}
