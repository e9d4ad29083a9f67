/**
 * The initramfs: an image's modules and the agent as /init. The agent changes more often than images do, so it is put
 * together when a VM is to boot, and kept beside the image under the agent's hash.
 *
 * It is not compressed: under emulation the guest would take longer to unpack it than QEMU takes to read it.
 */
import { createHash } from "node:crypto";
import { readFile, readdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import { SbxError } from "../../runtime/errors.ts";
import { writeCpio, type CpioEntry } from "./cpio.ts";
import { writeDurably } from "../../host/durable-file.ts";
import type { OpenImage } from "./image-store.ts";

const PREFIX = "initrd-";
/** From when an initramfs of another agent may go: a VM that boots from it has long read it. `ms` */
const KEEP_MS = 60 * 60 * 1000;

/** What the kernel and the agent count on before anything is mounted. */
const SKELETON: readonly CpioEntry[] = [
  ...["dev", "proc", "sys", "run", "tmp", "newroot"].map((name): CpioEntry => ({
    type: "directory",
    path: name,
    mode: 0o755,
  })),
  // Process 1 gets this as stdin, stdout and stderr.
  { type: "character", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
  { type: "character", path: "dev/null", mode: 0o666, major: 1, minor: 3 },
];

/**
 * Path of the initramfs for this image and agent; made if it is not there or not what it should be. The name carries
 * the first half of the agent's sha-256.
 *
 * @throws SbxError `internal` when there is no agent
 */
export async function ensureInitrd(image: OpenImage, agentPath: string): Promise<string> {
  const agent = await readAgent(agentPath);
  const hash = createHash("sha256").update(agent).digest("hex");
  const initrdPath = path.join(image.directory, `${PREFIX}${hash.slice(0, 32)}.cpio`);
  const content = Buffer.concat([
    writeCpio([...SKELETON, { type: "file", path: "init", mode: 0o755, content: agent }]),
    await readFile(image.modulesPath),
  ]);
  // A few megabytes: comparing all of them costs less than finding out why a guest does not come up.
  const present = await readFile(initrdPath).catch(() => null);
  if (present?.equals(content) !== true) {
    await writeDurably(initrdPath, content);
    await removeOthers(image.directory, initrdPath);
  }
  return initrdPath;
}

async function readAgent(agentPath: string): Promise<Buffer> {
  try {
    return await readFile(agentPath);
  } catch (cause) {
    throw new SbxError("internal", `there is no guest agent at ${agentPath}`, {
      cause,
      hint: "build it with: npm run build",
    });
  }
}

async function removeOthers(directory: string, kept: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const filePath = path.join(directory, name);
    if (!name.startsWith(PREFIX) || !name.endsWith(".cpio") || filePath === kept) continue;
    const { mtimeMs } = await stat(filePath);
    if (Date.now() - mtimeMs > KEEP_MS) await rm(filePath, { force: true });
  }
}
