// Sends everything back, at the client's pace, and ends when the client has. Arguments: ports or paths of sockets.
const { createServer } = require("node:net");
for (const place of process.argv.slice(2)) {
  createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    socket.pipe(socket);
  }).listen(/^\d+$/.test(place) ? Number(place) : place);
}
