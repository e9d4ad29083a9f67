/** Hands open files to QEMU through its monitor's socket, by a program that can (guest/cmd/sbx-send-fd). */
import { spawn } from "node:child_process";
import type { Duplex } from "node:stream";
import { SbxError } from "../runtime/errors.ts";
import type { FileSender } from "./qmp.ts";

/** It takes a few milliseconds; a machine under load, more. `ms` */
const DEADLINE_MS = 20_000;
const MAX_COMPLAINT = 500;
/** Where the program finds the socket, and the first of the files. */
const SOCKET_FD = 3;

/** @param programPath the built sbx-send-fd */
export function fileSender(programPath: string): FileSender {
  return async (socket, lines) => {
    const words = lines.map(({ line }, index) => `${SOCKET_FD + 1 + index}:${line}`);
    const child = spawn(programPath, [String(SOCKET_FD), ...words], {
      stdio: ["ignore", "ignore", "pipe", socket, ...lines.map(({ fd }) => fd)],
      env: {},
      cwd: "/",
      timeout: DEADLINE_MS,
      killSignal: "SIGKILL",
    });
    keepReading(socket);
    let complaint = "";
    // The tuple of stdio that the types know has no socket in it.
    (child.stderr as Duplex | null)
      ?.setEncoding("utf8")
      .on("data", (text: string) => (complaint = (complaint + text).slice(0, MAX_COMPLAINT)));
    const how = await new Promise<string | null>((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("close", (code, signal) =>
        resolve(code === 0 ? null : complaint.trim() || `it ended by ${signal ?? code}`),
      );
    });
    if (how !== null) throw new SbxError("vm_start_failed", `QEMU could not be given a file: ${how}`);
  };
}

/** Node stops reading from a stream that it shares with a child, in case that one reads. This one only writes. */
function keepReading(socket: Duplex): void {
  socket.resume();
}
