// An API to try gateways with: answers every request with what arrived of it, as JSON.
//
//   PORT   where it listens on 127.0.0.1; default 9000, 0 picks one

import { createServer } from "node:http";

const { PORT = "9000" } = process.env;

// Larger than what the gateways let through, so that it is they who refuse.
const server = createServer({ maxHeaderSize: 256 * 1024 }, (request, response) => {
  let bodyBytes = 0;
  request.on("data", (chunk) => {
    bodyBytes += chunk.length;
  });
  request.on("end", () => {
    const { method, url, rawHeaders } = request;
    // Pairs, so that a header that arrived twice stands there twice.
    const headers = [];
    for (let index = 0; index < rawHeaders.length; index += 2) {
      headers.push(rawHeaders.slice(index, index + 2));
    }
    response.writeHead(200, { "content-type": "application/json" });
    response.end(`${JSON.stringify({ method, url, headers, bodyBytes }, null, 2)}\n`);
  });
});

// Node keeps 2000 headers and drops the rest without a word: a client could send as many, and who calls, which
// gateways write behind them, would be gone.
server.maxHeadersCount = 0;

server.listen(Number(PORT), "127.0.0.1", () =>
  console.log(`upstream on http://127.0.0.1:${server.address().port}`),
);
