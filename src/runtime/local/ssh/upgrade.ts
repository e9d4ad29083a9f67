/**
 * Opens an SSH connection at a supervisor's socket. The answer's head is read by hand: what an HTTP client reads ahead
 * would be missing where the socket is handed over.
 */
import { connect, type Socket } from "node:net";
import {
  SSH_FIRST_HEADER,
  SSH_HOST_KEY_HEADER,
  SSH_KEY_HEADER,
  SSH_MESSAGES_UPGRADE,
  SSH_TARGET,
  SSH_UPGRADE,
} from "../../../protocol/ssh-upgrade.ts";
import { abortedError } from "../../abort.ts";
import { SbxError, type ErrorCode, ERROR_EXITS } from "../../errors.ts";

const MAX_HEAD_BYTES = 16 * 1024;
/** A supervisor under load takes its time, `ms`. */
const TIMEOUT_MS = 30_000;
const HEAD_END = "\r\n\r\n";

export interface UpgradeOptions {
  socketPath: string;
  /** The client's, `ssh-ed25519 AAAA…`. */
  publicKey: string;
  clientFirst: boolean;
  signal: AbortSignal | undefined;
}

export interface Upgraded {
  socket: Socket;
  /** The server's, of the same form. */
  hostKey: string;
}

/** @throws SbxError `supervisor_lost`, what the supervisor refused it with, `aborted` */
export async function openSshSocket(options: UpgradeOptions): Promise<Upgraded> {
  const { socketPath, publicKey, clientFirst, signal } = options;
  const fields = [`${SSH_KEY_HEADER}: ${publicKey}`, ...(clientFirst ? [`${SSH_FIRST_HEADER}: client`] : [])];
  return openUpgrade({ socketPath, upgrade: SSH_UPGRADE, fields, signal }, (socket, head) => {
    const hostKey = /^x-sbx-ssh-host-key: (ssh-ed25519 [A-Za-z0-9+/]+=*)\r?$/im.exec(head)?.[1];
    if (hostKey === undefined) throw new Error(`an answer without ${SSH_HOST_KEY_HEADER}`);
    return { socket, hostKey };
  });
}

/** For messages in frames. @throws SbxError as {@link openSshSocket} */
export async function openMessageSocket(socketPath: string, signal: AbortSignal | undefined): Promise<Socket> {
  return openUpgrade({ socketPath, upgrade: SSH_MESSAGES_UPGRADE, fields: [], signal }, (socket) => socket);
}

interface Request {
  socketPath: string;
  upgrade: string;
  fields: readonly string[];
  signal: AbortSignal | undefined;
}

/** @param read what is made of the connection and the answer's head */
async function openUpgrade<T>(request: Request, read: (socket: Socket, head: string) => T): Promise<T> {
  const { socketPath, upgrade, fields, signal } = request;
  const socket = connect(socketPath);
  const timer = setTimeout(() => socket.destroy(new Error("it took too long")), TIMEOUT_MS);
  const onAbort = (): unknown => socket.destroy(new Error("aborted"));
  signal?.addEventListener("abort", onAbort);
  try {
    const lines = ["host: sandbox", "connection: Upgrade", `upgrade: ${upgrade}`, ...fields];
    socket.write(`GET ${SSH_TARGET} HTTP/1.1\r\n${lines.join("\r\n")}${HEAD_END}`);
    const [head, rest] = await readHead(socket);
    if (!head.startsWith("HTTP/1.1 101 ")) throw refused(head, rest);
    if (rest.length > 0) socket.unshift(rest);
    return read(socket, head);
  } catch (error) {
    socket.destroy();
    if (signal?.aborted === true) throw abortedError(signal, "connecting to the sandbox");
    if (error instanceof SbxError) throw error;
    throw new SbxError("supervisor_lost", "the sandbox's supervisor does not answer", {
      cause: error,
      hint: "sbx list",
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** The head, and what came behind it. Nothing is read any more when this returns. */
async function readHead(socket: Socket): Promise<[string, Buffer]> {
  let bytes: Buffer = Buffer.alloc(0);
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      socket.off("data", onData).off("error", reject).off("close", onClose);
      socket.on("error", () => undefined); // it is somebody else's by now, or is being given up
      socket.pause();
    };
    const onClose = (): void => reject(new Error("it hung up"));
    const onData = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      const end = bytes.indexOf(HEAD_END);
      if (end === -1 && bytes.length < MAX_HEAD_BYTES) return;
      const head = bytes.toString("latin1", 0, end === -1 ? MAX_HEAD_BYTES : end);
      // A refusal is one JSON object, which comes with its head or soon after.
      if (!head.startsWith("HTTP/1.1 101 ") && bytes.length < wholeLength(head, end)) return;
      settle();
      if (end === -1) reject(new Error("an answer without an end"));
      else resolve([head, bytes.subarray(end + HEAD_END.length)]);
    };
    socket.on("data", onData).once("error", reject).once("close", onClose);
  });
}

function wholeLength(head: string, end: number): number {
  const length = Number(/^content-length: (\d{1,5})\r?$/im.exec(head)?.[1] ?? 0);
  return Math.min(MAX_HEAD_BYTES, end + HEAD_END.length + length);
}

function refused(head: string, body: Buffer): Error {
  const [status = ""] = head.split("\r\n");
  try {
    const { code, message } = JSON.parse(body.toString("utf8")) as { code?: string; message?: string };
    if (code !== undefined && message !== undefined && Object.hasOwn(ERROR_EXITS, code)) {
      return new SbxError(code as ErrorCode, message, { hint: "sbx list" });
    }
  } catch {
    // Not one of sbx's own refusals.
  }
  return new Error(status);
}
