/**
 * HTTP upgrades at a supervisor's socket: what follows the answer's head is another protocol's. The head is read by hand:
 * what an HTTP client reads ahead would be missing where the socket is handed over.
 */
import { connect, type Socket } from "node:net";
import { throwIfAborted } from "../abort.ts";
import { ERROR_EXITS, SbxError, type ErrorCode } from "../errors.ts";

const MAX_HEAD_BYTES = 16 * 1024;
/** A supervisor under load takes its time, `ms`. */
const TIMEOUT_MS = 30_000;
const HEAD_END = "\r\n\r\n";
const GRANTED = "HTTP/1.1 101 ";

export interface UpgradeRequest {
  socketPath: string;
  target: string;
  upgrade: string;
  /** Lines of the head beside those of the upgrade itself. */
  fields?: readonly string[];
  /** Sent behind the head, before the answer. */
  first?: Buffer | undefined;
  /** Whether this half stays open when the other one ends. */
  allowHalfOpen?: boolean;
  signal: AbortSignal | undefined;
}

export interface Upgraded {
  /** Paused. */
  socket: Socket;
  /** The answer's. */
  head: string;
  /** What was read behind it. */
  behind: Buffer;
}

/** @throws SbxError `supervisor_lost`, what the supervisor refused it with, `aborted` */
export async function openUpgrade(request: UpgradeRequest): Promise<Upgraded> {
  const { socketPath, target, upgrade, fields = [], first, allowHalfOpen = false, signal } = request;
  throwIfAborted(signal, "connecting to the sandbox");
  const socket = connect({ path: socketPath, allowHalfOpen });
  const timer = setTimeout(() => socket.destroy(new Error("it took too long")), TIMEOUT_MS);
  const onAbort = (): unknown => socket.destroy(new Error("aborted"));
  signal?.addEventListener("abort", onAbort);
  try {
    const lines = ["host: sandbox", "connection: Upgrade", `upgrade: ${upgrade}`, ...fields];
    const head = Buffer.from(`GET ${target} HTTP/1.1\r\n${lines.join("\r\n")}${HEAD_END}`);
    socket.write(first === undefined ? head : Buffer.concat([head, first]));
    const answer = await readHead(socket);
    if (!answer.head.startsWith(GRANTED)) throw refused(answer);
    return { socket, ...answer };
  } catch (error) {
    socket.destroy();
    throwIfAborted(signal, "connecting to the sandbox");
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

/** Nothing is read any more when this returns. */
async function readHead(socket: Socket): Promise<{ head: string; behind: Buffer }> {
  let bytes: Buffer = Buffer.alloc(0);
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      socket.off("data", onData).off("error", reject).off("end", onClose).off("close", onClose);
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
      if (!head.startsWith(GRANTED) && bytes.length < wholeLength(head, end)) return;
      settle();
      if (end === -1) reject(new Error("an answer without an end"));
      else resolve({ head, behind: bytes.subarray(end + HEAD_END.length) });
    };
    // An end within the head is told by nobody else where this half stays open.
    socket.on("data", onData).once("error", reject).once("end", onClose).once("close", onClose);
  });
}

function wholeLength(head: string, end: number): number {
  const length = Number(/^content-length: (\d{1,5})\r?$/im.exec(head)?.[1] ?? 0);
  return Math.min(MAX_HEAD_BYTES, end + HEAD_END.length + length);
}

function refused({ head, behind }: { head: string; behind: Buffer }): Error {
  const [status = ""] = head.split("\r\n");
  try {
    const { code, message } = JSON.parse(behind.toString("utf8")) as { code?: string; message?: string };
    if (code !== undefined && message !== undefined && Object.hasOwn(ERROR_EXITS, code)) {
      return new SbxError(code as ErrorCode, message, { hint: "sbx list" });
    }
  } catch {
    // Not one of sbx's own refusals.
  }
  return new Error(status);
}
