/** Answers every request with the same bytes: what node:http alone does. The only argument is the answer's body. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

const body = readFileSync(process.argv[2] ?? "", "utf8");
const server = createServer((_request, response) => {
  response.writeHead(200, {
    "x-deno-trace-id": randomBytes(16).toString("hex"),
    "cache-control": "no-store",
    "content-type": "application/json; charset=utf-8",
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`);
});
