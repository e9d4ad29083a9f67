/**
 * The disks of a running sandbox: attached to the machine, mounted in the guest, and both undone in the other order.
 * What the guest says is for messages only; what it does to its own file systems is its own affair.
 */
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AgentError, type AgentLink } from "../../guest/link.ts";
import type { AgentCalls } from "../../protocol/agent-calls.ts";
import {
  MAX_ATTACHED_VOLUMES,
  type AttachedVolume,
  type HeldVolume,
  type ResizeCall,
  type SnapshotAnswer,
  type SnapshotCall,
  type VolumeAttachment,
} from "../../protocol/disk-calls.ts";
import type { CopiedVolume } from "../../protocol/machine-calls.ts";
import type { SandboxLaunch } from "../../protocol/launch.ts";
import { SbxError, type ErrorCode } from "../../runtime/errors.ts";
import { allowDiskSize } from "../../vm/file-size-limit.ts";
import { createOverlay } from "../../vm/disk.ts";
import { ROOT_DISK, type DiskSpec, type MachineDisks } from "../../vm/machine-disks.ts";

/** A guest under load takes its time to notice a disk, and to write what it holds of one. `ms` */
const GUEST_DEADLINE_MS = 45_000;
/** How long a guest's writers stand still at most, whatever becomes of this process. `ms` */
const FREEZE_LIMIT_MS = 10_000;
/** At the end of a sandbox, for all that its volumes are still to be given; whoever asked for the end waits 10 s. `ms` */
const END_DEADLINE_MS = 7_000;

export interface SandboxDisksOptions {
  /** QEMU's side of them. */
  machine: Pick<MachineDisks, "attach" | "detach" | "placeOf" | "snapshot" | "resize" | "isOnTop">;
  launch: Pick<SandboxLaunch, "directory" | "tools" | "rootWrites">;
  /** The machine's outermost process. */
  pid: number;
  link: Pick<AgentLink, "call">;
  /** Does one thing at a time to the machine: while it is copied, its guest does not answer. */
  inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  /** Whose a new file system is. */
  user: string;
  /** Whether the guest stands still, and if so what for: nothing in it answers then. */
  stillness: () => "none" | "host's disk is full" | "other";
  /** Called when the sandbox no longer has a volume. */
  released: (volumeId: string) => void;
}

export class SandboxDisks {
  readonly #options: SandboxDisksOptions;
  readonly #volumes = new Map<string, AttachedVolume>();
  /** Of the volumes' disks in the guest: a copy's volumes have those of the source's. */
  readonly #serials = new Map<string, string>();
  readonly #directories = new Map<string, string>();
  /** The latest snapshot of each disk. */
  readonly #snapshots = new Map<string, SnapshotCall & { answer: SnapshotAnswer }>();

  constructor(options: SandboxDisksOptions) {
    this.#options = options;
  }

  /** Where the files that they write to lie. */
  get directories(): string[] {
    return [...this.#directories.values()];
  }

  list(): AttachedVolume[] {
    return [...this.#volumes.values()];
  }

  /** Takes over volumes that the guest has mounted and the machine has: it was restored with them. */
  adopt(volumes: readonly HeldVolume[]): void {
    for (const { id, name, path, access, capacityBytes, serial, layers } of volumes) {
      this.#volumes.set(id, { id, name, path, access, capacityBytes, device: "" });
      this.#serials.set(id, serial);
      this.#directories.set(id, dirname(layers.at(-1)?.path ?? "/"));
    }
  }

  /** What a copy of the machine would have to have. */
  async places(): Promise<CopiedVolume[]> {
    const places = this.list().map(async ({ id, name, path, capacityBytes }) => {
      const serial = this.#serial(id);
      return { id, name, path, capacityBytes, serial, place: await this.#options.machine.placeOf(serial) };
    });
    return Promise.all(places);
  }

  #serial(id: string): string {
    return this.#serials.get(id) ?? id;
  }

  /** A volume's id, unless a copy of that volume has it: the guest was copied when it used the original. */
  #freeSerial(id: string): string {
    const used = new Set(this.#serials.values());
    let serial = id;
    for (let count = 2; used.has(serial); count += 1) serial = `${id}_${count}`;
    return serial;
  }

  /**
   * Attaches a volume and mounts it; nothing of it is left if one of both fails.
   *
   * @throws SbxError `usage`, `volume_broken` for a file system that cannot be mounted, `file_error`, `timeout`
   */
  async attach(volume: VolumeAttachment): Promise<AttachedVolume> {
    return this.#options.inTurn(async () => this.#attach(volume));
  }

  /** @throws SbxError `guest_error` naming the processes that use it, `timeout` */
  async detach(id: string): Promise<AttachedVolume> {
    return this.#options.inTurn(async () => this.#detach(id));
  }

  /** @throws SbxError for a size below the one that it has */
  async resize(id: string, call: ResizeCall): Promise<AttachedVolume> {
    return this.#options.inTurn(async () => this.#resize(id, call));
  }

  /** Repeating it with the layer that is on top already changes nothing. */
  async snapshot(call: SnapshotCall): Promise<SnapshotAnswer> {
    return this.#options.inTurn(async () => this.#snapshot(call));
  }

  async #attach(volume: VolumeAttachment): Promise<AttachedVolume> {
    const { id, name, path, access, capacityBytes } = volume;
    if (this.#volumes.has(id)) throw new SbxError("usage", `volume ${name} is attached already`);
    if (this.#volumes.size >= MAX_ATTACHED_VOLUMES) {
      throw new SbxError("usage", `a sandbox has at most ${MAX_ATTACHED_VOLUMES} volumes`);
    }
    await allowDiskSize(this.#options.pid, this.#options.launch.tools, capacityBytes);
    try {
      const device = await this.#mount(volume, { layers: volume.layers, access }).catch(async (error: unknown) => {
        if (access === "read-write" || !needsRecovery(error)) throw error;
        return this.#mountRecovered(volume);
      });
      const attached = { id, name, path, access, capacityBytes, device };
      this.#volumes.set(id, attached);
      return attached;
    } catch (error) {
      throw explain(error, `volume ${name} cannot be mounted at ${path}`, "volume_broken");
    }
  }

  /** Returns the device's name in the guest. */
  async #mount({ id, path, access }: VolumeAttachment, disk: Omit<DiskSpec, "serial">): Promise<string> {
    const serial = this.#freeSerial(id);
    await this.#options.machine.attach({ serial, ...disk });
    this.#serials.set(id, serial);
    this.#directories.set(id, dirname(disk.layers.at(-1)?.path ?? "/"));
    try {
      const params = { serial, path, readOnly: access === "read-only", user: this.#options.user };
      return (await this.#call("mount", params)).device;
    } catch (error) {
      await this.#options.machine.detach(serial).catch(() => undefined); // QEMU is gone, or keeps it: the reason is the other one
      this.#serials.delete(id);
      this.#directories.delete(id);
      throw error;
    }
  }

  /**
   * For a volume that was in use when its machine died, and is only to be read: the guest's kernel replays the journal
   * into a layer that nobody sees, which is gone with the last who has it open.
   */
  async #mountRecovered(volume: VolumeAttachment): Promise<string> {
    const { id, layers, capacityBytes } = volume;
    const scratch = { path: join(this.#options.launch.directory, `${id}.qcow2`), format: "qcow2" } as const;
    const top = layers.at(-1);
    if (top === undefined) throw new SbxError("internal", "a volume without a layer");
    try {
      await createOverlay(scratch.path, top, capacityBytes);
      return await this.#mount(volume, { layers: [...layers, scratch], access: "read-write" });
    } finally {
      await rm(scratch.path, { force: true });
    }
  }

  async #detach(id: string): Promise<AttachedVolume> {
    const volume = this.#volume(id);
    try {
      await this.#call("unmount", { path: volume.path });
    } catch (error) {
      const what = `volume ${volume.name} cannot be detached`;
      // Unmounted before, by a call that QEMU did not complete, it only has to be taken away.
      const isUnmounted = error instanceof AgentError && error.code === "EINVAL";
      if (!isUnmounted) throw explain(error, what, "guest_error", "end what uses it, and try again");
    }
    await this.#options.machine.detach(this.#serial(id));
    this.#volumes.delete(id);
    this.#serials.delete(id);
    this.#directories.delete(id);
    this.#options.released(id);
    return volume;
  }

  async #resize(id: string, { capacityBytes }: ResizeCall): Promise<AttachedVolume> {
    const volume = this.#volume(id);
    if (volume.access === "read-only") throw new SbxError("usage", `volume ${volume.name} is attached read-only`);
    if (capacityBytes < volume.capacityBytes) throw new SbxError("usage", "a volume cannot be made smaller");
    await allowDiskSize(this.#options.pid, this.#options.launch.tools, capacityBytes);
    await this.#options.machine.resize(this.#serial(id), capacityBytes);
    volume.capacityBytes = capacityBytes;
    try {
      await this.#call("grow", { path: volume.path, bytes: capacityBytes });
    } catch (error) {
      // The disk is: the file system follows when it is mounted the next time.
      throw explain(error, `the file system of volume ${volume.name} did not grow`, "guest_error");
    }
    return volume;
  }

  async #snapshot({ disk, layerPath }: SnapshotCall): Promise<SnapshotAnswer> {
    const path = disk === ROOT_DISK ? "/" : this.#writable(disk).path;
    const serial = this.#serial(disk);
    if (await this.#options.machine.isOnTop(serial, layerPath)) {
      const latest = this.#snapshots.get(disk);
      return latest?.layerPath === layerPath ? latest.answer : { isClean: false, pausedMs: 0 };
    }
    const answer = { isClean: false, pausedMs: 0 };
    await this.#options.machine.snapshot([{ disk: serial, layerPath }], async (take) => {
      const since = performance.now();
      const frozen = await this.#freeze(path);
      try {
        await take();
      } finally {
        answer.isClean = frozen && (await this.#thaw(path));
      }
      answer.pausedMs = Math.round((performance.now() - since) * 10) / 10;
    });
    this.#snapshots.set(disk, { disk, layerPath, answer });
    return answer;
  }

  /** At the end of the sandbox: what was written is on the volumes, their file systems in order. Waits for no user of them. */
  async settle(): Promise<void> {
    const writable = this.list().filter(({ access }) => access === "read-write");
    const paths = writable.map(({ path }) => path);
    if (this.#options.launch.rootWrites === "kept") paths.push("/");
    const signal = AbortSignal.timeout(END_DEADLINE_MS);
    // Nothing thaws them: the machine is about to end.
    await Promise.allSettled(
      paths.map(async (path) => this.#options.link.call("freeze", { path, limitMs: 6 * FREEZE_LIMIT_MS }, { signal })),
    );
  }

  /** Whether there is anything to {@link settle}. */
  get hasWrites(): boolean {
    return this.#options.launch.rootWrites === "kept" || this.list().some(({ access }) => access === "read-write");
  }

  /** A guest that does not answer, or cannot, is no reason to take no snapshot: it holds what a loss of power leaves. */
  async #freeze(path: string): Promise<boolean> {
    if (this.#options.stillness() !== "none") return false;
    try {
      const signal = AbortSignal.timeout(FREEZE_LIMIT_MS);
      await this.#options.link.call("freeze", { path, limitMs: FREEZE_LIMIT_MS }, { signal });
      return true;
    } catch {
      // Its answer may have come too late.
      await this.#thaw(path);
      return false;
    }
  }

  /** Whether it stood still until now. */
  async #thaw(path: string): Promise<boolean> {
    try {
      await this.#options.link.call("thaw", { path }, { signal: AbortSignal.timeout(FREEZE_LIMIT_MS) });
      return true;
    } catch {
      return false; // It had gone on by itself, or it will.
    }
  }

  async #call<M extends "mount" | "unmount" | "grow">(
    method: M,
    params: AgentCalls[M]["params"],
  ): Promise<AgentCalls[M]["result"]> {
    this.#refuseStill();
    try {
      return await this.#options.link.call(method, params, { signal: AbortSignal.timeout(GUEST_DEADLINE_MS) });
    } catch (error) {
      // What it wrote for this may be what the host has no room for.
      if (error instanceof Error && error.name === "TimeoutError") this.#refuseStill();
      throw error;
    }
  }

  /** @throws SbxError `disk_full`, `sandbox_paused` */
  #refuseStill(): void {
    const stillness = this.#options.stillness();
    if (stillness === "none") return;
    if (stillness === "other") throw new SbxError("sandbox_paused", "the sandbox is paused", { hint: "sbx resume" });
    throw new SbxError("disk_full", "the sandbox stands still because the host's disk is full", { hint: "sbx prune" });
  }

  #volume(id: string): AttachedVolume {
    const volume = this.#volumes.get(id);
    if (volume === undefined) throw new SbxError("volume_not_found", `volume ${id} is not attached to this sandbox`);
    return volume;
  }

  #writable(id: string): AttachedVolume {
    const volume = this.#volume(id);
    if (volume.access === "read-only") throw new SbxError("usage", `volume ${volume.name} is attached read-only`);
    return volume;
  }
}

/** What the guest says of a file system whose journal it would have to replay. */
function needsRecovery(error: unknown): boolean {
  return error instanceof AgentError && error.code === "EUCLEAN";
}

/** The guest's own words, for people. */
function explain(error: unknown, what: string, code: ErrorCode, hint?: string): SbxError {
  if (error instanceof SbxError) return error;
  if (error instanceof Error && error.name === "TimeoutError") {
    return new SbxError("timeout", `${what}: the guest does not answer`, { cause: error });
  }
  const words = error instanceof AgentError ? error.message : String(error);
  return new SbxError(code, `${what}: ${words}`, { cause: error, ...(hint === undefined ? {} : { hint }) });
}
