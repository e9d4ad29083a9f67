/**
 * `sbx ssh-proxy` for when nothing is out of the ordinary, as a program of its own (dist/ssh-proxy.js): every `ssh` waits
 * for it, and most of the time that the command takes goes into loading what only other commands need. Whatever it does
 * not find as it should be is left to the command, which explains it: a name that is not whole, a sandbox that does not
 * run, a host key that was not seen before, an ssh that takes no socket.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { sendSocket, wantsSocket } from "../../../host/socket-handover.ts";
import { statePaths } from "../paths.ts";
import { hasHost } from "./known-hosts.ts";
import { openSshSocket } from "./upgrade.ts";

/** @returns whether it has handed a connection over; nothing has happened otherwise */
export async function proxyQuickly(hostName: string): Promise<boolean> {
  if (!wantsSocket()) return false;
  let found;
  try {
    found = find(hostName.replace(/\.sbx$/i, ""));
  } catch {
    return false; // No state, or one that this does not know: the command says what is wrong.
  }
  if (found === undefined) return false;
  const { id, socketPath, sshPath, publicKey } = found;
  const opened = await openSshSocket({ socketPath, publicKey, clientFirst: true, signal: undefined }).catch(() => null);
  if (opened === null) return false;
  const { socket, hostKey } = opened;
  const host = { hostName: hostName.toLowerCase(), key: hostKey, sandboxId: id };
  if (!hasHost(path.join(sshPath, "known_hosts"), host)) {
    socket.destroy();
    return false;
  }
  await sendSocket(socket);
  return true;
}

interface Found {
  id: string;
  socketPath: string;
  sshPath: string;
  publicKey: string;
}

function find(ref: string): Found | undefined {
  const { databasePath, dataPath } = statePaths();
  const database = new DatabaseSync(databasePath, { readOnly: true, timeout: 1_000 });
  try {
    const row = database
      .prepare("SELECT id, socket FROM sandboxes WHERE status = 'running' AND paused = 0 AND (id = ? OR name = ?)")
      .get(ref, ref);
    if (row === undefined) return undefined;
    const sshPath = path.join(dataPath, "ssh");
    const publicKey = readFileSync(path.join(sshPath, "identity", "id_ed25519.pub"), "utf8").trim();
    return { id: String(row.id), socketPath: String(row.socket), sshPath, publicKey };
  } finally {
    database.close();
  }
}
