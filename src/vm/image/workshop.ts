/**
 * The place where an image's root file system is put together: user, mount and process namespaces of its own, so that
 * an ordinary account can make files of every owner, nothing that runs there outlives the build, and what is mounted
 * goes away by itself.
 *
 * `unshare` keeps the namespaces alive with a process that reads stdin. When the builder ends, however it ends, that
 * pipe closes, the process ends, and because it is process 1 of its namespace the kernel ends everything else in it.
 * Inside, root is the user outside, so that files written to the data directory belong to the user.
 */
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { readFile, mkdir } from "node:fs/promises";
import path from "node:path";
import type { Readable, Writable } from "node:stream";
import { SbxError } from "../../runtime/errors.ts";
import { CommandFailure, runCommand, toolPath, type Argv, type CommandOptions } from "./command.ts";

/** Where the work is mounted: inside, nobody looks for anything else there. */
const MOUNT_POINTS = ["/mnt", "/media", "/srv", "/opt"];
/** Memory that must be available before work is done in memory, `bytes`: a base system takes 1.3 GB. */
const MEMORY_NEEDED_BYTES = 4 * 1024 ** 3;
const MEMORY_SHARE = 0.7;

const IN_MEMORY = 'mount -t tmpfs -o "size=$1,mode=0755,nr_inodes=0" sbx "$2" && echo ready && exec cat >/dev/null';
/** Whatever the user's umask: directories of the image are open to all. */
const WITH_UMASK = 'umask 022 && exec "$@"';
const ON_DISK = 'mount --bind "$1" "$2" && echo ready && exec cat >/dev/null';

export type WorkPlace = "memory" | "disk";

export interface Workshop extends AsyncDisposable {
  /** Where the work lies, as seen from inside. */
  readonly directory: string;
  readonly place: WorkPlace;
  /** Runs a program inside; the rest as {@link runCommand}. */
  run(argv: Argv, options?: CommandOptions): Promise<Buffer>;
  /** Writes a file inside. Its directory must be there. */
  writeFile(filePath: string, content: Buffer | string, signal?: AbortSignal): Promise<void>;
}

export interface WorkshopOptions {
  /** An existing directory for work on disk. */
  diskPath: string;
  place: WorkPlace;
  /** Paths that must stay visible inside. */
  visible: readonly string[];
  signal?: AbortSignal | undefined;
}

type Anchor = ChildProcessByStdio<Writable, Readable, Readable>;

/** Memory when enough of it is available, as that halves the time; else the disk. */
export async function chooseWorkPlace(): Promise<WorkPlace> {
  return (await availableMemoryBytes()) >= MEMORY_NEEDED_BYTES ? "memory" : "disk";
}

/**
 * Opens the namespaces.
 *
 * @throws SbxError `image_build_failed` when this machine or account cannot have them
 */
export async function openWorkshop(options: WorkshopOptions): Promise<Workshop> {
  const directory = freeMountPoint(options.visible);
  const anchor = spawnAnchor(options, directory, await availableMemoryBytes());
  const output: string[] = [];
  anchor.stderr.setEncoding("utf8").on("data", (chunk: string) => output.push(chunk));
  const gone = once(anchor, "close");
  gone.catch(() => undefined);
  const state = await Promise.race([
    once(anchor.stdout, "data").then(() => "ready" as const),
    gone.then(() => "gone" as const).catch((error: unknown) => error as Error),
  ]);
  if (state !== "ready" || anchor.pid === undefined) {
    throw workshopError(state instanceof Error ? state.message : output.join("").trim());
  }
  return new NamespaceWorkshop(anchor, anchor.pid, directory, options);
}

class NamespaceWorkshop implements Workshop {
  readonly directory: string;
  readonly place: WorkPlace;
  readonly #anchor: Anchor;
  readonly #enter: Argv;

  constructor(anchor: Anchor, pid: number, directory: string, options: WorkshopOptions) {
    this.#anchor = anchor;
    this.directory = directory;
    this.place = options.place;
    // unshare itself stays in the outer process namespace; its children's is reached by this name.
    const user = process.getuid?.() === 0 ? [] : ["--user"];
    const rest = ["--mount", "--ipc", "--uts", `--pid=/proc/${pid}/ns/pid_for_children`, "--"];
    this.#enter = ["nsenter", "--target", String(pid), ...user, ...rest, "sh", "-c", WITH_UMASK, "sh"];
  }

  async run(argv: Argv, options: CommandOptions = {}): Promise<Buffer> {
    try {
      return await runCommand([...this.#enter, ...argv], options);
    } catch (error) {
      if (!(error instanceof CommandFailure)) throw error;
      throw new CommandFailure(argv[0], error.message.slice(error.program.length + 1), error.output);
    }
  }

  async writeFile(filePath: string, content: Buffer | string, signal?: AbortSignal): Promise<void> {
    await this.run(["dd", "status=none", `of=${filePath}`], { stdin: content, signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#anchor.exitCode !== null || this.#anchor.signalCode !== null) return;
    if (this.place === "disk") {
      // Files of other owners can be removed from inside only. The mount point itself is busy and stays.
      await this.run(["find", this.directory, "-mindepth", "1", "-delete"]).catch(() => undefined);
    }
    const gone = once(this.#anchor, "close");
    this.#anchor.stdin.end();
    await gone;
  }
}

/** Removes a directory that a build left on the disk with files of other owners in it. */
export async function removeWorkOnDisk(diskPath: string): Promise<void> {
  await using workshop = await openWorkshop({ diskPath, place: "disk", visible: [diskPath] });
  await workshop.run(["true"]);
}

function spawnAnchor(options: WorkshopOptions, directory: string, availableBytes: number): Anchor {
  const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user", "--map-auto"];
  const [script, subject] =
    options.place === "memory"
      ? [IN_MEMORY, String(Math.floor(availableBytes * MEMORY_SHARE))]
      : [ON_DISK, options.diskPath];
  const flags = [...user, "--mount", "--ipc", "--uts", "--pid", "--fork", "--kill-child"];
  return spawn("unshare", [...flags, "--", "sh", "-c", script, "sh", subject, directory], {
    // A group of its own: Ctrl-C on the terminal must not take the ground away before the build has cleaned up.
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
    env: { PATH: toolPath(), LANG: "C.UTF-8" },
  });
}

/** The first mount point that covers none of the paths. */
function freeMountPoint(visible: readonly string[]): string {
  const hidden = (point: string): boolean => visible.some((item) => `${path.resolve(item)}/`.startsWith(`${point}/`));
  const free = MOUNT_POINTS.find((point) => !hidden(point));
  if (free === undefined) throw new Error(`no mount point is free of ${visible.join(", ")}`);
  return free;
}

async function availableMemoryBytes(): Promise<number> {
  const line = /^MemAvailable:\s+(\d+) kB$/m.exec(await readFile("/proc/meminfo", "utf8"));
  return Number(line?.[1] ?? 0) * 1024;
}

function workshopError(output: string): SbxError {
  const cause = new Error(output === "" ? "unshare said nothing" : output);
  const message = "cannot make the namespaces in which an image is built";
  if (output.includes("ENOENT")) {
    return new SbxError("image_build_failed", message, { cause, hint: "sudo apt-get install util-linux" });
  }
  if (/newuidmap|newgidmap|subuid|subgid|map-auto|uid_map|gid_map/.test(output)) {
    const user = process.env["USER"] ?? String(process.getuid?.());
    const range = "--add-subuids 100000-165535 --add-subgids 100000-165535";
    const hint = `sudo apt-get install uidmap; if it is there: sudo usermod ${range} ${user}`;
    return new SbxError("image_build_failed", `${message}: the account has no subordinate ids`, { cause, hint });
  }
  return new SbxError("image_build_failed", message, {
    cause,
    hint: "user namespaces must be allowed: sudo sysctl -w kernel.unprivileged_userns_clone=1, or run as root",
  });
}

/** Makes the directory for work on disk: open to the owners that exist inside only. */
export async function makeWorkDirectory(directory: string): Promise<string> {
  await mkdir(directory, { mode: 0o755 });
  return directory;
}
