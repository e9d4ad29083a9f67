/** Makes a template: boots the image once, lets it settle, and saves the machine while it stands still. */
import { randomUUID } from "node:crypto";
import { chmod, mkdir, open, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { createWriteStream } from "node:fs";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { TemplateLaunch } from "../protocol/launch.ts";
import { SbxError } from "../runtime/errors.ts";
import { createOverlay } from "../vm/disk.ts";
import { kernelCommandLine } from "../vm/qemu-args.ts";
import { describeTemplate, templatePaths, type TemplatePaths } from "../vm/template.ts";
import { unprivilegedUid } from "../vm/machine-plan.ts";
import { startMachine, type VirtualMachine } from "../vm/virtual-machine.ts";
import { connectAgent, LastWords } from "./guest-boot.ts";
import type { LaunchChannel } from "./launch-channel.ts";

/** A cold boot takes two seconds here; a loaded machine may need much longer. */
const BOOT_DEADLINE_MS = 120_000;
const SAVE_DEADLINE_MS = 60_000;
/** What the guest still does after it says that it has settled: timers, write-back. `ms` */
const SETTLE_MS = 300;

/**
 * Fills `launch.directory` with a finished template, its record last.
 *
 * @throws SbxError `vm_start_failed`, `vm_start_timeout`, or a file error
 */
export async function makeTemplate(launch: TemplateLaunch, channel: LaunchChannel): Promise<void> {
  const paths = templatePaths(launch.directory);
  const base = launch.rootLayers.at(-1);
  if (base === undefined) throw new SbxError("internal", "a template was asked for without a root disk");
  await createOverlay(paths.diskPath, base, launch.diskBytes);
  await createOverlay(paths.emptyLayerPath, { path: paths.diskPath, format: "qcow2" }, launch.diskBytes);
  await makeMemoryFile(paths.memoryPath, launch.machine.memoryBytes);
  const exchangePath = path.join(launch.directory, "exchange");
  await mkdir(exchangePath, { mode: 0o700 });
  await chmod(exchangePath, 0o755); // QEMU has another account; the directories above are closed to all others
  // Socket paths are limited to 107 bytes, so the socket is named from within its directory.
  process.chdir(exchangePath);
  channel.answer({ type: "progress", message: "booting the image for the first time" });
  {
    await using vm = await startMachine({
      ...launch,
      name: "sbx-template",
      network: true,
      mode: {
        kind: "boot",
        boot: launch.boot,
        commandLine: kernelCommandLine(launch.machine, { verbose: false }),
        shareMemory: true,
      },
      memoryPath: paths.memoryPath,
      disk: [...launch.rootLayers, { path: paths.diskPath, format: "qcow2" }],
      diskWrites: "discarded",
      exchangePath,
      uid: unprivilegedUid(),
    });
    void launcherGone(channel).then(() => vm.stop());
    // Nobody answers what a booting guest says on its network.
    if (vm.networkLink !== null && !("fd" in vm.networkLink)) vm.networkLink.resume();
    const words = new LastWords(vm, null);
    await using link = await connectAgent(vm, words, BOOT_DEADLINE_MS);
    channel.answer({ type: "progress", message: "settling" });
    await link.call("prepare", { diskBytes: launch.diskBytes });
    await sleep(SETTLE_MS);
    channel.answer({ type: "progress", message: "saving the machine" });
    await saveState(vm, exchangePath, paths);
  }
  process.chdir("/");
  await rm(exchangePath, { recursive: true, force: true });
  await rm(path.join(launch.directory, "kvm"), { force: true });
  await finish(paths, launch);
  channel.answer({ type: "ready", info: null });
}

async function launcherGone(channel: LaunchChannel): Promise<void> {
  if (await channel.waitForCommit()) await new Promise(() => undefined);
}

async function makeMemoryFile(file: string, bytes: number): Promise<void> {
  await using handle = await open(file, "wx", 0o600);
  await handle.truncate(bytes);
  // QEMU runs under an account of its own when sbx is root; nobody else can reach the directory.
  await handle.chmod(0o666);
}

async function saveState(vm: VirtualMachine, exchangePath: string, paths: TemplatePaths): Promise<void> {
  const name = `state-${randomUUID().slice(0, 8)}.sock`;
  const { promise: saved, resolve, reject } = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    pipeline(socket, createWriteStream(paths.statePath, { mode: 0o600 })).then(resolve, reject);
  });
  // It may fail while QEMU is still asked how far it is; whoever waits then hears it first.
  const failed = saved.then(() => new Promise<never>(() => undefined));
  failed.catch(() => undefined);
  await new Promise<void>((done, refused) => server.once("error", refused).listen(name, done));
  await chmod(name, 0o666);
  try {
    const inJail = vm.exchangePath !== null && vm.exchangePath !== exchangePath;
    const uri = `unix:${inJail ? path.posix.join(vm.exchangePath, name) : name}`;
    await vm.qmp.execute("migrate", { uri });
    await Promise.race([waitUntilSaved(vm), failed]);
    await vm.qmp.execute("quit");
    await vm.exited;
    await saved;
  } finally {
    server.close();
  }
}

async function waitUntilSaved(vm: VirtualMachine): Promise<void> {
  const deadline = performance.now() + SAVE_DEADLINE_MS;
  for (;;) {
    const answer = (await vm.qmp.execute("query-migrate")) as { status?: string; "error-desc"?: string };
    if (answer.status === "completed") return;
    if (answer.status === "failed" || performance.now() > deadline) {
      throw new SbxError(
        "vm_start_failed",
        `QEMU could not save the machine: ${answer["error-desc"] ?? "it takes too long"}`,
      );
    }
    await sleep(10);
  }
}

/** Everything on the disk before the record says that it is there. */
async function finish(paths: TemplatePaths, launch: TemplateLaunch): Promise<void> {
  await chmod(paths.diskPath, 0o644);
  for (const file of [paths.memoryPath, paths.statePath, paths.diskPath, paths.emptyLayerPath]) {
    await using handle = await open(file, "r");
    await handle.sync();
  }
  const record = await describeTemplate(paths, {
    key: launch.key,
    imageId: launch.imageId,
    rootId: launch.rootId,
    accelerator: launch.machine.accelerator.name,
  });
  await writeFile(paths.recordPath, JSON.stringify(record), { mode: 0o600, flush: true });
}
