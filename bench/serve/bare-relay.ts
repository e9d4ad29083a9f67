/** Joins WebSockets with a Unix socket as node:http and node:net do it with the least: no token, nothing counted. */
import { createServer } from "node:http";
import { connect, type AddressInfo } from "node:net";

const [, , socketPath = ""] = process.argv;

const server = createServer();
server.on("upgrade", (request, client, head) => {
  const upstream = connect(socketPath);
  const fields = Object.entries(request.headers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
  upstream.write(`GET ${request.url ?? ""} HTTP/1.1\r\n${fields.join("")}\r\n`);
  upstream.write(head);
  upstream.pipe(client).pipe(upstream);
  for (const end of [upstream, client]) end.on("error", () => undefined);
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`);
});
