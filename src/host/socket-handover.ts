/**
 * Hands a connected socket to the parent process, over the socket that this one's stdout is: what OpenSSH expects of a
 * ProxyCommand under ProxyUseFdpass. Node cannot send descriptors, so a small program does (guest/cmd/sbx-send-fd).
 */
import { spawn } from "node:child_process";
import { fstatSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { sendFdPath } from "./package-root.ts";

const STDOUT_FD = 1;
/** Where the program finds the connection. */
const CONNECTION_FD = 3;

/**
 * Whether the parent process waits for a socket on this one's stdout. OpenSSH gives a ProxyCommand pipes unless it is
 * told ProxyUseFdpass; libraries that read the same configuration, and know nothing of that option, have other names.
 */
export function wantsSocket(): boolean {
  try {
    return fstatSync(STDOUT_FD).isSocket() && readFileSync(`/proc/${process.ppid}/comm`, "utf8").trim() === "ssh";
  } catch {
    return false; // No /proc, or no such parent any more.
  }
}

/** Sends it. Nothing is read from the socket any more when this returns; it is still open here. */
export async function sendSocket(socket: Socket): Promise<void> {
  const child = spawn(sendFdPath(), [String(STDOUT_FD), `${CONNECTION_FD}:`], {
    stdio: ["ignore", "inherit", "inherit", socket],
    env: {},
  });
  const status = await new Promise<number | string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(code ?? signal ?? "nothing"));
  });
  if (status !== 0) throw new Error(`the connection could not be handed over: ${status}`);
}
