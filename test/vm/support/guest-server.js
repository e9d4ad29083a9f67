// A server for tests, in a guest: HTTP with an event stream and a WebSocket that echoes. Arguments: PORT [ADDRESS].
const { createHash } = require("node:crypto");
const { createServer } = require("node:http");
const KEY = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const server = createServer((request, response) => {
  if (request.url === "/events") {
    response.writeHead(200, { "content-type": "text/event-stream" });
    let count = 0;
    const timer = setInterval(() => {
      response.write(`data: ${++count}\n\n`);
      if (count === 3) {
        clearInterval(timer);
        response.end();
      }
    }, 200);
    return;
  }
  const hash = createHash("sha256");
  request.on("data", (chunk) => hash.update(chunk));
  request.on("end", () => {
    const { method, url, headers } = request;
    response.setHeader("content-type", "application/json");
    response.setHeader("trailer", "x-hash");
    response.write(JSON.stringify({ method, url, host: headers.host, from: request.socket.remoteAddress }));
    response.addTrailers({ "x-hash": hash.digest("hex") });
    response.end();
  });
});

// RFC 6455: texts of up to 125 bytes, which is all that the test sends.
server.on("upgrade", (request, socket) => {
  const accept = createHash("sha1")
    .update(request.headers["sec-websocket-key"] + KEY)
    .digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  let bytes = Buffer.alloc(0);
  socket.on("error", () => undefined);
  socket.on("data", (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= 6 && bytes.length >= 6 + (bytes[1] & 0x7f)) {
      const length = bytes[1] & 0x7f;
      const body = bytes.subarray(6, 6 + length).map((byte, at) => byte ^ bytes[2 + (at % 4)]);
      socket.write(Buffer.concat([Buffer.from([bytes[0], length]), body]));
      if ((bytes[0] & 0xf) === 8) socket.end();
      bytes = bytes.subarray(6 + length);
    }
  });
});

server.listen(Number(process.argv[2]), process.argv[3] ?? "::");
