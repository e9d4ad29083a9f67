/** Looks after a running machine: keeps the guest's clock right and resumes it when the host's full disk has room. */
import { statfs } from "node:fs/promises";
import type { AgentLink } from "../guest/link.ts";
import type { VirtualMachine } from "../vm/virtual-machine.ts";
import { nowNs } from "../protocol/agent-greeting.ts";
import type { Standstill } from "./standstill.ts";

/** The guest's first time is that of its launch, a tenth of a second late; not while it has its first work, `ms`. */
const FIRST_CLOCK_MS = 500;
/** Rarely enough that an idle sandbox stays idle, `ms`. */
const CLOCK_INTERVAL_MS = 60_000;
/** Between two looks at a full disk, `ms`. */
const DISK_INTERVAL_MS = 2_000;
/** Free space that is worth letting the guest go on for, `bytes`. */
const DISK_ROOM_BYTES = 64 * 1024 ** 2;

export interface HostWatchOptions {
  vm: VirtualMachine;
  standstill: Standstill;
  link: AgentLink;
  /** Where the files of its disks lie, perhaps on several file systems. */
  directories: () => Promise<readonly string[]>;
  log: (message: string) => void;
}

export class HostWatch implements Disposable {
  readonly #options: HostWatchOptions;
  readonly #firstClockTimer: NodeJS.Timeout;
  readonly #clockTimer: NodeJS.Timeout;
  #diskTimer: NodeJS.Timeout | undefined;
  #resuming = false;
  #isOver = false;
  #lastComplaint = "";

  constructor(options: HostWatchOptions) {
    this.#options = options;
    this.#firstClockTimer = setTimeout(() => this.#setClock(), FIRST_CLOCK_MS);
    this.#clockTimer = setInterval(() => this.#setClock(), CLOCK_INTERVAL_MS);
    options.vm.qmp.onEvent(({ event, data }) => {
      if (event === "BLOCK_IO_ERROR" && data.action === "stop") this.#ioError(data);
    });
  }

  /** Whether the guest stands still because the host's disk is full. */
  get diskFull(): boolean {
    return this.#options.standstill.has("disk");
  }

  /** After the guest stood still: its clock did, too. */
  goesOn(): void {
    this.#setClock();
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    clearTimeout(this.#firstClockTimer);
    clearInterval(this.#clockTimer);
    clearInterval(this.#diskTimer);
  }

  #setClock(): void {
    if (this.#options.standstill.any) return;
    this.#options.link.call("clock", { unixNs: nowNs() }).catch(() => {
      // The link is gone or going; whoever watches it acts on that.
    });
  }

  #ioError(data: Record<string, unknown>): void {
    if (this.diskFull) return;
    this.#options.log(
      `the guest is paused: its disk reports ${typeof data.reason === "string" ? data.reason.slice(0, 200) : "an I/O error"} (host disk full?)`,
    );
    this.#waitForRoom();
  }

  async #tryResume(): Promise<void> {
    if (this.#resuming) return;
    this.#resuming = true;
    try {
      for (const directory of await this.#options.directories()) {
        const { bavail, bsize } = await statfs(directory);
        if (bavail * bsize < DISK_ROOM_BYTES) return;
      }
      clearInterval(this.#diskTimer);
      const goesOn = await this.#options.standstill.release("disk");
      this.#options.log(`the host's disk has room again${goesOn ? ": the guest goes on" : ""}`);
      this.#lastComplaint = "";
      this.#setClock();
    } catch (error) {
      this.#complain(`the guest could not be resumed: ${String(error)}`);
      this.#waitForRoom();
    } finally {
      this.#resuming = false;
    }
  }

  #waitForRoom(): void {
    this.#options.standstill.note("disk");
    clearInterval(this.#diskTimer);
    if (!this.#isOver) this.#diskTimer = setInterval(() => void this.#tryResume(), DISK_INTERVAL_MS);
  }

  /** Once for each complaint: it may come up every two seconds, for days. */
  #complain(message: string): void {
    if (message !== this.#lastComplaint) this.#options.log(message);
    this.#lastComplaint = message;
  }
}
