/**
 * The supervisor's door: HTTP and WebSocket on a Unix socket that only its user can open (0600). Paths and bodies are
 * those of the published protocol; docs/protocol-supervisor.md has what sbx adds.
 */
import { chmodSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";
import { FOLDERS_TARGET, type FolderView } from "../protocol/folder-launch.ts";
import { EXTENSIONS_HEADER, EXTENSIONS_VERSION, PRIMARY_HEADER, SANDBOX_ID_HEADER } from "../protocol/rpc-messages.ts";
import { MAX_SERVER_MESSAGE_BYTES } from "../protocol/rpc-limits.ts";
import { connectTarget, sandboxTarget } from "../protocol/sandbox-target.ts";
import type { SandboxInfo } from "../runtime/types.ts";
import { answerCall, readBody, refuseUpgrade, sendJson, sendTooLarge } from "./door-http.ts";
import { MACHINE_CALLS, type MachineHandle } from "./machine-routes.ts";
import { DISK_CALLS, type DiskControl } from "./disks/door-routes.ts";
import { DOMAIN_CALLS, type DomainControl } from "./expose/domain-routes.ts";
import { EXPOSURE_CALLS, type ExposureControl } from "./expose/door-routes.ts";
import { NETWORK_CALLS, type NetworkControl } from "./network/door-routes.ts";
import { dialectOf, type Dialect } from "./rpc/dialect.ts";
import { USAGE_CALLS, type UsageControl } from "./watch/usage-routes.ts";

const MAX_BODY_BYTES = 64 * 1024;
/** The latest time that a Date can hold (ECMA-262, 21.4.1.1), `ms`. */
const MAX_TIME_MS = 8.64e15;

export interface DoorOptions {
  id: string;
  socketPath: string;
  info: () => SandboxInfo;
  /** Ends the sandbox; settles when it is gone. */
  stop: (reason: "killed" | "session_ended") => Promise<void>;
  /** Extends its life to this time, epoch `ms`; returns the end that holds. */
  extendTo: (stopAtMs: number) => number;
  connected: (socket: WebSocket, visitor: Visitor) => void;
  /** Takes an upgrade to SSH; false for another one. */
  ssh: (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean;
  /** Takes an upgrade to a connection of a gateway; false for another one. */
  http: (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean;
  network: NetworkControl;
  /** Its disks; fails unless it runs. */
  disks: () => Promise<DiskControl>;
  /** Its URLs; fails unless it runs. */
  exposures: () => Promise<ExposureControl>;
  /** Its names at a gateway; fails unless it runs. */
  domains: () => Promise<DomainControl>;
  /** @throws SbxError while there is none */
  machine: () => MachineHandle;
  /** What it uses; fails unless it runs. */
  usage: () => Promise<UsageControl>;
  /** The mounted folders and what has become of them. */
  folders: () => FolderView[];
}

/** How a client introduced itself. */
export interface Visitor {
  extensions: boolean;
  dialect: Dialect;
  primaryToken: string | null;
  transport: Duplex;
}

export interface Door {
  /** Takes no new connections, answers what is under way, and removes the socket. */
  close(): void;
}

/** Listens; the socket exists when this returns. */
export async function openDoor(options: DoorOptions): Promise<Door> {
  const webSockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MAX_SERVER_MESSAGE_BYTES,
  });
  webSockets.on("headers", (headers, request) => {
    headers.push(`${SANDBOX_ID_HEADER}: ${options.id}`);
    if (wantsExtensions(request)) headers.push(`${EXTENSIONS_HEADER}: ${EXTENSIONS_VERSION}`);
  });
  const server = createServer((request, response) => {
    answer(request, response, options).catch((error: unknown) => {
      sendJson(response, 500, { code: "INTERNAL", message: error instanceof Error ? error.message : String(error) });
    });
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on("error", () => undefined); // the peer may vanish in the middle of the handshake
    if (options.ssh(request, socket, head) || options.http(request, socket, head)) return;
    if (parseTarget(request.url)?.pathname !== connectTarget(options.id)) {
      refuseUpgrade(socket, 404, "SANDBOX_NOT_FOUND", "this socket serves another sandbox");
      return;
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      const token = request.headers[PRIMARY_HEADER];
      const primaryToken = typeof token === "string" ? token : null;
      const dialect = dialectOf(request.headers["user-agent"]);
      options.connected(webSocket, { extensions: wantsExtensions(request), dialect, primaryToken, transport: socket });
    });
  });
  await listen(server, options.socketPath);
  return {
    close() {
      server.close();
      rmSync(options.socketPath, { force: true });
    },
  };
}

async function listen(server: Server, socketPath: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    // The process has umask 077: the socket is never open to others, not even for a moment.
    server.listen(socketPath, () => {
      server.off("error", reject);
      resolve();
    });
  });
  chmodSync(socketPath, 0o600);
}

function wantsExtensions(request: IncomingMessage): boolean {
  return request.headers[EXTENSIONS_HEADER] === EXTENSIONS_VERSION;
}

async function answer(request: IncomingMessage, response: ServerResponse, options: DoorOptions): Promise<void> {
  const url = parseTarget(request.url);
  const own = sandboxTarget(options.id);
  if (url === undefined) {
    sendJson(response, 400, { code: "BAD_REQUEST", message: "the request's target is no path" });
  } else if (request.method === "GET" && url.pathname === "/sbx/v1/info") {
    sendJson(response, 200, options.info());
  } else if (request.method === "GET" && url.pathname === FOLDERS_TARGET) {
    sendJson(response, 200, options.folders());
  } else if (request.method === "DELETE" && url.pathname === own) {
    await options.stop(url.searchParams.get("reason") === "session_ended" ? "session_ended" : "killed");
    sendJson(response, 200, options.info());
  } else if (request.method === "PATCH" && url.pathname === own) {
    const body = await readBody(request, MAX_BODY_BYTES);
    const stopAtMs = body === undefined ? undefined : parseStopAt(body);
    if (body === undefined) sendTooLarge(response, MAX_BODY_BYTES);
    else if (stopAtMs === undefined)
      sendJson(response, 400, { code: "INVALID_CONFIG", message: "stop_at_ms must be a time in ms" });
    else sendJson(response, 200, { stop_at_ms: options.extendTo(stopAtMs) });
  } else if (!(await answerFromTables(request, response, url.pathname, options))) {
    sendJson(response, 404, { code: "NOT_FOUND", message: `there is nothing at ${url.pathname}` });
  }
}

/** False where no table has the path. */
async function answerFromTables(
  request: IncomingMessage,
  response: ServerResponse,
  pathname: string,
  options: DoorOptions,
): Promise<boolean> {
  return (
    (await answerCall(request, response, pathname, MACHINE_CALLS, options.machine)) ||
    (await answerCall(request, response, pathname, USAGE_CALLS, options.usage)) ||
    (await answerCall(request, response, pathname, DISK_CALLS, options.disks)) ||
    (await answerCall(request, response, pathname, EXPOSURE_CALLS, options.exposures)) ||
    (await answerCall(request, response, pathname, DOMAIN_CALLS, options.domains)) ||
    (await answerCall(request, response, pathname, NETWORK_CALLS, () => options.network))
  );
}

/** What a client asks for; undefined where it is no path at all, such as `//`. */
function parseTarget(target = "/"): URL | undefined {
  return URL.parse(target, "http://sandbox") ?? undefined;
}

function parseStopAt(body: string): number | undefined {
  try {
    const value = (JSON.parse(body) as { stop_at_ms?: unknown }).stop_at_ms;
    return typeof value === "number" && Math.abs(value) <= MAX_TIME_MS ? value : undefined;
  } catch {
    return undefined; // Not JSON: answered as a bad request.
  }
}
