/** What the owner of a running sandbox does with its machine as a whole: stops it, lets it go on, copies it. */
import type { AgentLink } from "../guest/link.ts";
import type { CopiedVolume, CopyAnswer, CopyCall, CopyMemories } from "../protocol/machine-calls.ts";
import { SbxError } from "../runtime/errors.ts";
import type { SandboxInfo } from "../runtime/types.ts";
import type { MachineDisks } from "../vm/machine-disks.ts";
import type { QemuFiles } from "../vm/qemu-files.ts";
import type { VirtualMachine } from "../vm/virtual-machine.ts";
import type { MachineHandle } from "./machine-routes.ts";
import type { Standstill } from "./standstill.ts";

export interface MachineControlOptions {
  /** As its user calls it. */
  ref: string;
  vm: VirtualMachine;
  link: AgentLink;
  disks: MachineDisks;
  files: QemuFiles;
  standstill: Standstill;
  shape: CopyAnswer["machine"];
  info: () => SandboxInfo;
  /** Writes into the sandbox's record whether it stands still. */
  recordPaused: (isPaused: boolean) => void;
  memories: () => CopyMemories;
  /** What of the sandbox cannot be copied by this call, in words; `null` where all of it can. */
  obstacle: (call: CopyCall) => Promise<string | null>;
  /** The volumes that are attached. */
  volumes: () => Promise<CopiedVolume[]>;
  /** The guest goes on after it stood still. */
  goesOn: () => void;
}

export class MachineControl implements MachineHandle {
  readonly #options: MachineControlOptions;
  /** One thing at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: MachineControlOptions) {
    this.#options = options;
  }

  /** Its lifetime goes on. Repeating it changes nothing. */
  async pause(): Promise<SandboxInfo> {
    return this.inTurn(async () => {
      const { standstill, recordPaused, info } = this.#options;
      if (!standstill.has("user")) {
        await standstill.hold("user");
        recordPaused(true);
      }
      return info();
    });
  }

  async resume(): Promise<SandboxInfo> {
    return this.inTurn(async () => {
      const { standstill, recordPaused, info, goesOn } = this.#options;
      if (await standstill.release("user")) goesOn();
      recordPaused(false);
      return info();
    });
  }

  async copy(call: CopyCall, signal: AbortSignal): Promise<CopyAnswer> {
    return this.inTurn(async () => {
      const { ref, standstill, obstacle, volumes, vm, goesOn } = this.#options;
      signal.throwIfAborted();
      if (standstill.has("user")) {
        throw new SbxError("sandbox_paused", `sandbox ${ref} is paused, and only one that runs can be copied`, {
          hint: `sbx resume ${ref}`,
        });
      }
      if (standstill.any) {
        throw new SbxError("disk_full", `sandbox ${ref} stands still because the host's disk is full`, {
          hint: "sbx prune",
        });
      }
      const why = await obstacle(call);
      if (why !== null) throw new SbxError("copy_unsupported", `sandbox ${ref} cannot be copied: ${why}`);
      const { copyMachine } = await import("./machine-copy.ts");
      const { qmp, pid } = vm;
      try {
        return await copyMachine({ ...this.#options, qmp, pid, volumes: await volumes() }, call, signal);
      } finally {
        goesOn();
      }
    });
  }

  /** Does what must not meet a copy, or another change of its disks. */
  async inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }
}
