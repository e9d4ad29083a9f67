/**
 * The client's half of the WebSocket opening handshake on a Unix socket (RFC 6455, section 4). node:net alone: with
 * node:http, which `ws` stands on, each command of the CLI would start some 30 ms later.
 */
import { connect, type Socket } from "node:net";
import { abortedError, throwIfAborted } from "../abort.ts";
import { SbxError } from "../errors.ts";
import { connectError, MAX_HANDSHAKE_BYTES, type Refusal, refusalError } from "./handshake.ts";

/**
 * Key and answer of the handshake. A random key keeps caches between the two ends from replaying an old answer;
 * a Unix socket has nothing between its ends, and a constant spares the loading of node:crypto.
 */
const KEY = "c2J4LXVuaXgtc29ja2V0IQ==";
const ACCEPT = "gbyY4EiBkOEVLgGFTrBUQ6JgALc=";

const HEAD_END = "\r\n\r\n";

export interface UpgradedSocket {
  socket: Socket;
  headers: Record<string, string>;
  /** What came after the answer's head. */
  rest: Buffer;
}

interface AnswerHead {
  status: number;
  headers: Record<string, string>;
  rest: Buffer;
}

/**
 * Connects and upgrades.
 *
 * @throws SbxError `supervisor_lost` if nobody listens, `aborted`, or what the refusal says
 */
export async function openUpgradedSocket(
  socketPath: string,
  requestPath: string,
  headers: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<UpgradedSocket> {
  throwIfAborted(signal, "connecting to the sandbox");
  const socket = connect({ path: socketPath });
  const onAbort = (): void => {
    socket.destroy(abortedError(signal, "connecting to the sandbox"));
  };
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const answer = parseHead(await exchange(socket, encodeRequestHead(requestPath, headers)));
    if (answer.status !== 101) {
      throw refusalError(await readRefusal(socket, answer));
    }
    if (answer.headers["sec-websocket-accept"] !== ACCEPT) {
      throw new SbxError("connection_closed", `what listens at ${socketPath} is not a sandbox`);
    }
    return { socket, headers: answer.headers, rest: answer.rest };
  } catch (error) {
    socket.destroy();
    throw error instanceof SbxError ? error : connectError(socketPath, error);
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

function encodeRequestHead(requestPath: string, headers: Readonly<Record<string, string>>): string {
  const lines = [
    `GET ${requestPath} HTTP/1.1`,
    "Host: localhost",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Key: ${KEY}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  if (lines.some((line) => /[\r\n]/.test(line))) throw new SbxError("internal", "a line break in a request header");
  return lines.join("\r\n") + HEAD_END;
}

/** Sends the request and collects the answer up to the empty line. */
function exchange(socket: Socket, requestHead: string): Promise<{ text: string; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const settle = (act: () => void): void => {
      socket.off("data", onData).off("error", onError).off("close", onClose);
      // The caller may need a while to attach; without a listener an error would end the process.
      socket.on("error", () => undefined);
      socket.pause();
      act();
    };
    const onData = (chunk: Buffer): void => {
      received = Buffer.concat([received, chunk]);
      const end = received.indexOf(HEAD_END);
      if (end >= 0) {
        const rest = received.subarray(end + HEAD_END.length);
        settle(() => resolve({ text: received.toString("latin1", 0, end), rest }));
      } else if (received.length > MAX_HANDSHAKE_BYTES) {
        settle(() => reject(new SbxError("connection_closed", "the answer to the handshake is too long")));
      }
    };
    const onError = (error: Error): void => settle(() => reject(error));
    const onClose = (): void =>
      settle(() => reject(Object.assign(new Error("closed during the handshake"), { code: "ECONNRESET" })));
    socket.on("data", onData).on("error", onError).on("close", onClose);
    socket.write(requestHead);
  });
}

/** @throws SbxError `connection_closed` if it is not the head of an HTTP/1.1 answer */
function parseHead({ text, rest }: { text: string; rest: Buffer }): AnswerHead {
  const [statusLine = "", ...lines] = text.split("\r\n");
  const status = /^HTTP\/1\.1 (\d{3})(?: |$)/.exec(statusLine)?.[1];
  if (status === undefined) throw new SbxError("connection_closed", "the answer to the handshake is not HTTP/1.1");
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) headers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { status: Number(status), headers, rest };
}

/** Reads the body of a refusal: as long as it says it is, or until the other side closes. */
function readRefusal(socket: Socket, head: AnswerHead): Promise<Refusal> {
  const declared = Number(head.headers["content-length"] ?? MAX_HANDSHAKE_BYTES);
  const wantedBytes = Math.min(Number.isInteger(declared) ? declared : 0, MAX_HANDSHAKE_BYTES);
  return new Promise((resolve) => {
    let body = head.rest;
    const finish = (): void => {
      clearTimeout(timer);
      resolve({ status: head.status, headers: head.headers, body: body.toString("utf8", 0, wantedBytes) });
    };
    const timer = setTimeout(finish, 2_000);
    if (body.length >= wantedBytes) {
      finish();
      return;
    }
    socket.on("data", (chunk: Buffer) => {
      body = Buffer.concat([body, chunk]);
      if (body.length >= wantedBytes) finish();
    });
    socket.on("close", finish);
    socket.resume();
  });
}
