/** The intercepting path in a process of its own, as mitmproxy is one (own-proxy-process.ts). */
import { spawn } from "node:child_process";
import { NODE_FLAGS } from "../../src/runtime/local/supervisor-process.ts";
import path from "node:path";
import { createInterface } from "node:readline";
import { z } from "zod";
import { SERVER_NAME, type PeerServer } from "./peer.ts";
import { end, VALUE, withPlaceholder, type Way } from "./proxies.ts";

/** What the process is told in its only argument. */
export const ownProxySettings = z.object({
  serverName: z.string(),
  serverPort: z.number(),
  /** Certificate that the server's is from. */
  rootPath: z.string(),
  /** Where the authority that the client has to trust is left. */
  caPath: z.string(),
  /** For the audit log. */
  directory: z.string(),
  value: z.string(),
});

export type OwnProxySettings = z.infer<typeof ownProxySettings>;

const startedSchema = z.object({ port: z.number(), placeholder: z.string() });

export async function startOwnProxy(server: PeerServer): Promise<Way> {
  const directory = path.dirname(server.caPath);
  const caPath = path.join(directory, "own-proxy-ca.pem");
  const settings: OwnProxySettings = {
    ...{ serverName: SERVER_NAME, serverPort: server.ports.https, rootPath: server.caPath, caPath },
    ...{ directory, value: VALUE },
  };
  const processPath = path.join(import.meta.dirname, "own-proxy-process.ts");
  const child = spawn(process.execPath, [...NODE_FLAGS, processPath, JSON.stringify(settings)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done === true) throw new Error("the intercepting path's process did not start");
  const { port, placeholder } = startedSchema.parse(JSON.parse(first.value));
  const host = `${SERVER_NAME}:${server.ports.https}`;
  const target = { address: `127.0.0.1:${port}`, name: SERVER_NAME, host, ca: caPath };
  return { target: withPlaceholder(target, placeholder), [Symbol.asyncDispose]: () => end(child) };
}
