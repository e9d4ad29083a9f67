/**
 * HTTP from inside the sandbox (deno-sandbox-protocol, section 3.7): undici speaks HTTP here, over connections that the
 * guest's agent dials, so names, addresses and policy are the guest's. Responses are hostile: they are only passed on.
 */
import { rootCertificates, connect as connectTls, type TLSSocket } from "node:tls";
import { once } from "node:events";
import { isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Agent, buildConnector } from "undici";
import { dialGuest, type GuestAddress } from "../../guest/guest-socket.ts";
import { AgentError } from "../../guest/link.ts";
import type { GuestState } from "./guest-state.ts";
import { listeningPorts } from "./listening-ports.ts";
import type { GuestProcess } from "./process-table.ts";

/** How long the guest may take to connect, and a server to begin its answer, `ms`. */
const CONNECT_TIMEOUT_MS = 30_000;
const HEADERS_TIMEOUT_MS = 300_000;
const MAX_HEADER_BYTES = 64 * 1024;

/**
 * A dispatcher for one request: its connections are the guest's. With a process, every URL leads to that process's
 * own server, in plain HTTP, whatever host and port it names.
 */
export async function guestDispatcher(
  state: GuestState,
  process: GuestProcess | undefined,
  signal: AbortSignal,
): Promise<Agent> {
  const { Agent } = await import("undici");
  return new Agent({
    // undici's types know net.Socket only; it asks for no more than a Duplex has.
    connect: ((options, callback) => {
      connect(state, options, process, signal).then(
        (socket) => callback(null, socket as unknown as Socket),
        (error: unknown) => callback(error instanceof Error ? error : new Error(String(error)), null),
      );
    }) satisfies buildConnector.connector,
    pipelining: 1,
    connections: 1,
    allowH2: false,
    headersTimeout: HEADERS_TIMEOUT_MS,
    bodyTimeout: 0,
    maxHeaderSize: MAX_HEADER_BYTES,
  });
}

async function connect(
  state: GuestState,
  { hostname, port, protocol }: buildConnector.Options,
  process: GuestProcess | undefined,
  signal: AbortSignal,
): Promise<Duplex> {
  const isTls = protocol === "https:";
  const portNumber = port === "" ? (isTls ? 443 : 80) : Number(port);
  if (process !== undefined) return dialProcess(state, process, portNumber, signal);
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const socket = await dial(state, { host, port: portNumber }, signal);
  return isTls ? wrapTls(state, socket, host) : socket;
}

/** A server of a process may listen on either family's loopback. The port of the URL is taken if it is one of its. */
async function dialProcess(
  state: GuestState,
  process: GuestProcess,
  port: number,
  signal: AbortSignal,
): Promise<Duplex> {
  const ports = await listeningPorts(state.link, process, signal);
  const chosen = ports.includes(port) ? port : Math.min(...ports);
  if (!Number.isFinite(chosen)) throw new AgentError("ECONNREFUSED", `process ${process.pid} listens on no port`);
  return state.loopback.dial(chosen, { signal, timeoutMs: CONNECT_TIMEOUT_MS });
}

async function dial(state: GuestState, address: GuestAddress, signal: AbortSignal): Promise<Duplex> {
  return dialGuest(state.link, address, { signal, timeoutMs: CONNECT_TIMEOUT_MS });
}

async function wrapTls(state: GuestState, socket: Duplex, host: string): Promise<TLSSocket> {
  const tls = connectTls({
    socket,
    host,
    ALPNProtocols: ["http/1.1"],
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ca: [...rootCertificates, ...state.trustedCertificates()],
  });
  try {
    await once(tls, "secureConnect");
    return tls;
  } catch (error) {
    tls.destroy();
    throw error;
  }
}
