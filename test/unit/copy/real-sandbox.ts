/** A sandbox handle over the real RPC server and the real agent, in its development mode, on this machine. */
import { createServer } from "node:http";
import type { TestContext } from "node:test";
import { WebSocketServer } from "ws";
import { RpcSandbox } from "../../../src/runtime/sandbox/rpc-sandbox.ts";
import { connectRpc, type RpcClient } from "../../../src/runtime/sandbox/rpc-client.ts";
import type { SandboxInfo } from "../../../src/runtime/types.ts";
import { serveConnection } from "../../../src/supervisor/rpc/connection.ts";
import { createGuestState } from "../../../src/supervisor/rpc/guest-state.ts";
import { openRealLink } from "../rpc-server/real-agent.ts";
import { Scratch } from "./scratch.ts";

/** Each has an id of its own. */
let opened = 0;

export interface RealSandbox {
  sandbox: RpcSandbox;
  client: RpcClient;
  /** The sandbox's home, as the host sees it. */
  home: string;
}

/** @param extensions whether the server has sbx's own calls, or the published ones alone */
export async function openRealSandbox(t: TestContext, { extensions = true } = {}): Promise<RealSandbox> {
  const { link, home } = await openRealLink(t);
  const env = { PATH: process.env["PATH"] ?? "", HOME: home };
  const info = { id: `sbx_loc_${String(opened++).padStart(20, "0")}`, name: null } as unknown as SandboxInfo;
  const state = createGuestState({ link, user: "app", home, env, info: () => info });
  const scratch = new Scratch();
  const http = createServer();
  const webSockets = new WebSocketServer({ server: http, perMessageDeflate: false, maxPayload: 128 * 1024 * 1024 });
  if (extensions) webSockets.on("headers", (headers) => headers.push("x-sbx-extensions: 1"));
  webSockets.on("connection", (socket) => serveConnection(socket, state, { extensions }));
  await new Promise<void>((resolve) => http.listen(scratch.join("s"), resolve));
  const client = await connectRpc({ socketPath: scratch.join("s") });
  t.after(async () => {
    await client.close();
    webSockets.close();
    http.close();
    await link[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });
  return { sandbox: new RpcSandbox({ client, info }), client, home };
}
