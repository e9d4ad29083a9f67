/** Accounts of the guest, from its /etc/passwd (passwd(5)). The file is the guest's: it may say anything, at any length. */
import { addAbortSignal, type Readable } from "node:stream";
import type { AgentLink } from "../../guest/link.ts";
import type { SshAccount } from "../../ssh/guest.ts";

const PASSWD_PATH = "/etc/passwd";
const MAX_PASSWD_BYTES = 1024 * 1024;
/** The guest answers in milliseconds; one that never does must not keep a client waiting, `ms`. */
const DEADLINE_MS = 20_000;
const DEFAULT_SHELL = "/bin/sh";

/** @throws AgentError, Error where the file cannot be read */
export async function findAccount(link: AgentLink, name: string): Promise<SshAccount | undefined> {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const readable = addAbortSignal(signal, link.openReadable());
  try {
    const call = link.call("fs.readFile", { path: PASSWD_PATH, user: "root", stream: readable.streamId }, { signal });
    const [text] = await Promise.all([collect(readable), call]);
    return parseAccount(text, name);
  } finally {
    readable.destroy();
  }
}

/** The first line of the name that has all that is needed. */
export function parseAccount(passwd: string, name: string): SshAccount | undefined {
  for (const line of passwd.split("\n")) {
    const fields = line.split(":");
    if (fields[0] !== name || name === "" || fields.length < 7) continue;
    const [, , , , , home = "", shell = ""] = fields;
    return { name, home: absolute(home) ?? "/", shell: absolute(shell) ?? DEFAULT_SHELL };
  }
  return undefined;
}

function absolute(path: string): string | undefined {
  return path.startsWith("/") && !path.includes("\0") ? path : undefined;
}

async function collect(readable: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of readable as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_PASSWD_BYTES) throw new Error(`the sandbox's ${PASSWD_PATH} is too long`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
