/**
 * What an SSH client's ProxyCommand does with the connection it has opened. OpenSSH takes a connected socket
 * (ProxyUseFdpass): this process sends it and ends. Other clients get the bytes.
 */
import { spawn } from "node:child_process";
import { fstatSync, readFileSync } from "node:fs";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { sendFdPath } from "../../host/package-root.ts";
import { SbxError } from "../../runtime/errors.ts";
import type { CommandContext } from "../context.ts";

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
    return false;
  }
}

/** Sends the connection's socket. @throws SbxError `internal` */
export async function sendSocket(stream: Duplex): Promise<void> {
  if (!(stream instanceof Socket)) throw new SbxError("internal", "this connection has no socket of its own");
  const child = spawn(sendFdPath(), [String(STDOUT_FD), `${CONNECTION_FD}:`], {
    stdio: ["ignore", "inherit", "inherit", stream],
    env: {},
  });
  const status = await new Promise<number | string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(code ?? signal ?? "nothing"));
  });
  if (status !== 0) throw new SbxError("internal", `the connection could not be handed to ssh: ${status}`);
}

/** Carries the bytes until both directions are over. */
export async function relay(stream: Duplex, { stdin, stdout }: CommandContext): Promise<void> {
  const up = pipeline(stdin, stream, { end: true });
  up.catch(() => undefined); // The server hung up: what it said before still goes out.
  await pipeline(stream, stdout, { end: false });
}
