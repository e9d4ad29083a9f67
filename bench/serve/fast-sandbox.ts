/**
 * A supervisor's RPC in a process of its own, in front of a guest that is as fast as this machine: the guest's own agent,
 * run here. So what is measured of it is sbx and not the emulation of a processor. The arguments are the path of the
 * socket to serve on and a directory for the guest's home; both are the caller's.
 */
import { spawn } from "node:child_process";
import { createServer, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocketServer } from "ws";
import { openAgentLink } from "../../src/guest/agent-link.ts";
import { agentPath } from "../../src/host/package-root.ts";
import { EXTENSIONS_HEADER, SANDBOX_ID_HEADER } from "../../src/protocol/rpc-messages.ts";
import { MAX_SERVER_MESSAGE_BYTES } from "../../src/protocol/rpc-limits.ts";
import type { SandboxInfo } from "../../src/runtime/types.ts";
import { serveConnection } from "../../src/supervisor/rpc/connection.ts";
import { createGuestState } from "../../src/supervisor/rpc/guest-state.ts";
import { hostArchitecture } from "../../src/vm/image/recipe.ts";

const DIAL_INTERVAL_MS = 20;
const RESUME = {
  entropy: Buffer.alloc(32, 7).toString("base64"),
  unixNs: (BigInt(Date.now()) * 1_000_000n).toString(),
  hostname: "bench",
  machineId: "0123456789abcdef0123456789abcdef",
};

const [, , socketPath = "", home = ""] = process.argv;

const agentSocketPath = path.join(home, "agent.sock");
const agent = spawn(agentPath(hostArchitecture()), ["--dev", "--socket", agentSocketPath], {
  stdio: ["ignore", "ignore", "inherit"],
});
process.on("exit", () => agent.kill("SIGKILL")); // as PID 1 it heeds no other
process.on("SIGTERM", () => process.exit());
const link = await openAgentLink(await dial(agentSocketPath));
await link.call("resume", RESUME);
const info = { id: "sbx_loc_00000000000000000000", name: null } as unknown as SandboxInfo;
const env = { PATH: process.env.PATH ?? "", HOME: home };
const state = createGuestState({ link, user: "app", home, env, info: () => info });

const server = createServer();
const webSockets = new WebSocketServer({ server, perMessageDeflate: false, maxPayload: MAX_SERVER_MESSAGE_BYTES });
webSockets.on("headers", (headers, request) => {
  headers.push(`${SANDBOX_ID_HEADER}: ${request.url?.split("/")[4] ?? ""}`);
});
webSockets.on("connection", (socket, request: IncomingMessage) => {
  serveConnection(socket, state, { extensions: request.headers[EXTENSIONS_HEADER] !== undefined });
});
server.listen(socketPath, () => process.stdout.write("{}\n"));

async function dial(target: string): Promise<Socket> {
  for (;;) {
    const socket = connect(target);
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    });
    if (isOpen) return socket;
    await sleep(DIAL_INTERVAL_MS);
  }
}
