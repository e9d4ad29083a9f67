/**
 * What the `ws` package alone sends to a client of the SDK: answers that were made before, of the same bytes as sbx's.
 * `readFile` and the output of `spawn` have the number of bytes that the request's path or command says.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer, type WebSocket } from "ws";
import { z } from "zod";
import { SANDBOX_ID_HEADER } from "../../src/protocol/rpc-messages.ts";
import { PLAIN_CHUNK_BYTES } from "../../src/protocol/rpc-limits.ts";

/** Unsent bytes above which the next chunk waits. */
const HIGH_WATER_BYTES = 2 * 1024 * 1024;
const PID = 100;

const requestSchema = z.object({
  id: z.number(),
  method: z.string(),
  params: z.object({ path: z.string().optional(), args: z.array(z.string()).optional() }).optional(),
});

const files = new Map<number, string>();
const server = createServer();
const webSockets = new WebSocketServer({ server, perMessageDeflate: false });
webSockets.on("headers", (headers, request) => {
  headers.push(`${SANDBOX_ID_HEADER}: ${request.url?.split("/")[4] ?? ""}`);
});
let lastStreamId = 0;
webSockets.on("connection", (socket) => {
  socket.on("message", (data: Buffer) => {
    const text = data.toString();
    if (text === "ping") socket.send("pong");
    else void answer(socket, requestSchema.parse(JSON.parse(text)));
  });
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`);
});

async function answer(socket: WebSocket, { id, method, params }: z.output<typeof requestSchema>): Promise<void> {
  const reply = (ok: unknown): void => socket.send(JSON.stringify({ jsonrpc: "2.0", id, result: { ok } }));
  switch (method) {
    case "readFile":
      socket.send(`{"jsonrpc":"2.0","id":${id},"result":{"ok":"${fileOf(Number(params?.path?.split("-").at(-1)))}"}}`);
      break;
    case "spawn": {
      const streamId = lastStreamId++;
      reply({ pid: PID, stdoutStreamId: streamId, stderrStreamId: null });
      await sendStream(socket, streamId, Number(params?.args?.at(-1)));
      break;
    }
    case "processWait":
      reply({ success: true, code: 0, signal: null, oom: null });
      break;
    default:
      reply(null);
  }
}

/** Base64 of that many zero bytes, made once. */
function fileOf(bytes: number): string {
  const made = files.get(bytes) ?? Buffer.alloc(bytes).toString("base64");
  files.set(bytes, made);
  return made;
}

async function sendStream(socket: WebSocket, streamId: number, bytes: number): Promise<void> {
  const notify = (method: string, more = ""): string =>
    `{"jsonrpc":"2.0","method":"$sandbox.stream.${method}","params":{"streamId":${streamId}${more}}}`;
  const chunk = notify("enqueue", `,"data":"${fileOf(PLAIN_CHUNK_BYTES)}"`);
  await new Promise((resolve) => setTimeout(resolve, 10));
  socket.send(notify("start"));
  for (let left = bytes; left > 0; left -= PLAIN_CHUNK_BYTES) {
    const message = left >= PLAIN_CHUNK_BYTES ? chunk : notify("enqueue", `,"data":"${fileOf(left)}"`);
    await new Promise<void>((resolve) => {
      if (socket.bufferedAmount < HIGH_WATER_BYTES) {
        socket.send(message);
        resolve();
      } else socket.send(message, () => resolve());
    });
  }
  socket.send(notify("end"));
}
