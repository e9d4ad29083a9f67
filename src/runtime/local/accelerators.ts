/** The accelerator verdict of this host: found once by booting, remembered for this host, kernel and QEMU. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { hostname, release } from "node:os";
import path from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import { z } from "zod";
import { agentPath } from "../../host/package-root.ts";
import { acquireLock } from "../../store/locks.ts";
import { probeAccelerator } from "../../vm/accelerator-probe.ts";
import { createOverlay } from "../../vm/disk.ts";
import type { OpenImage } from "../../vm/image/image-store.ts";
import { ensureInitrd } from "../../vm/image/initrd.ts";
import { hostArchitecture } from "../../vm/image/recipe.ts";
import type { JailTools } from "../../vm/jail.ts";
import type { QemuBinary } from "../../vm/qemu-binary.ts";
import type { Accelerator as Wanted } from "../defaults.ts";
import { SbxError } from "../errors.ts";
import type { CallOptions } from "../runtime.ts";
import { PROBE_PREFIX } from "./leftovers.ts";
import type { StatePaths } from "./paths.ts";

const run = promisify(execFile);

const PROBE_DISK_BYTES = 10 * 1024 ** 3;

const verdictSchema = z.object({
  host: z.string(),
  qemuVersion: z.string(),
  wanted: z.enum(["auto", "kvm", "tcg"]),
  accelerator: z.object({ name: z.enum(["kvm", "tcg"]), cpuModel: z.string(), tscKhz: z.number().nullable() }),
  reason: z.string(),
  at: z.number(),
});

export type Verdict = z.infer<typeof verdictSchema>;

/** The verdict that holds for this host now, or undefined. */
export async function readVerdict(paths: StatePaths, qemu: QemuBinary, wanted: Wanted): Promise<Verdict | undefined> {
  let text: string;
  try {
    text = await readFile(paths.verdictPath, "utf8");
  } catch {
    return undefined; // None yet.
  }
  const parsed = parseVerdict(text);
  if (parsed === undefined || parsed.host !== hostStamp() || parsed.qemuVersion !== qemu.version) return undefined;
  return parsed.wanted === checkWanted(wanted) ? parsed : undefined;
}

export interface FindOptions extends CallOptions {
  paths: StatePaths;
  database: DatabaseSync;
  qemu: QemuBinary;
  tools: JailTools;
  image: OpenImage;
  wanted: Wanted;
}

/** Boots to find the verdict, and remembers it. */
export async function findVerdict(options: FindOptions): Promise<Verdict> {
  const { paths, qemu, tools, image, signal, onProgress } = options;
  const wanted = checkWanted(options.wanted);
  // One at a time: probes that share the processors run into their deadlines.
  await using _lock = await acquireLock(options.database, "accelerator", {
    ...(signal === undefined ? {} : { signal }),
    onWait: (pid) =>
      onProgress?.({ stage: "accelerator", message: `waiting for process ${pid}, which tries this host` }),
  });
  const found = await readVerdict(paths, qemu, wanted);
  if (found !== undefined) return found;
  const scratch = await mkdtemp(path.join(paths.statePath, `${PROBE_PREFIX}${process.pid}-`));
  try {
    const layerPath = path.join(scratch, "disk.qcow2");
    const base = { path: image.rootPath, format: "raw" } as const;
    await createOverlay(layerPath, base, PROBE_DISK_BYTES);
    const { accelerator, reason } = await probeAccelerator({
      qemu,
      tools,
      boot: { kernelPath: image.kernelPath, initrdPath: await ensureInitrd(image, agentPath(hostArchitecture())) },
      disk: [base, { path: layerPath, format: "qcow2" }],
      diskBytes: PROBE_DISK_BYTES,
      wanted,
      tscKhz: await measureClock(),
      ...(signal === undefined ? {} : { signal }),
      onProgress: (message) => onProgress?.({ stage: "accelerator", message }),
    });
    const verdict = { host: hostStamp(), qemuVersion: qemu.version, wanted, accelerator, reason, at: Date.now() };
    const temporary = `${paths.verdictPath}.${process.pid}.tmp`;
    await writeFile(temporary, JSON.stringify(verdict), { mode: 0o600 });
    await rename(temporary, paths.verdictPath);
    return verdict;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The agent's own binary measures it: Node cannot read the counter. */
async function measureClock(): Promise<number | null> {
  const { stdout } = await run(agentPath(hostArchitecture()), ["--clock"], { timeout: 10_000 });
  const khz = Number(stdout.trim());
  return Number.isSafeInteger(khz) && khz > 0 ? khz : null;
}

function checkWanted(wanted: Wanted): "auto" | "kvm" | "tcg" {
  if (wanted !== "hvf") return wanted;
  throw new SbxError("config_invalid", "the accelerator hvf exists on macOS only", {
    hint: "sbx config unset accelerator",
  });
}

/** Another machine, kernel or boot may do better or worse; nested virtualisation can change with each start. */
function hostStamp(): string {
  let boot = "";
  try {
    boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    // Not every host lets it be read; name and kernel have to do then.
  }
  return `${hostname()} ${release()} ${boot}`;
}

function parseVerdict(text: string): Verdict | undefined {
  try {
    return verdictSchema.parse(JSON.parse(text));
  } catch {
    return undefined; // Damaged or of another version: it is found again.
  }
}
