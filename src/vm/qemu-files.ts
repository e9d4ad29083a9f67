/**
 * Files that QEMU gets while it runs. It is handed open descriptors, so no path has to show in its jail, a file keeps its
 * owner and mode, and one that was opened for reading only cannot be written, whatever QEMU's account may do.
 *
 * Descriptors lie in sets; QEMU opens `/dev/fdset/<n>` by taking the one of set `n` that has the access it wants. (QEMU
 * documentation, "QMP Reference Manual", add-fd.)
 */
import { SbxError } from "../runtime/errors.ts";
import type { FileCommand, FileSender, Qmp } from "./qmp.ts";

/** A descriptor of this process; the caller opens it, and closes it when it has been given. */
export interface GivenFd {
  fd: number;
  access: "read-write" | "read-only";
}

export interface FileSet {
  /** What QEMU opens: `/dev/fdset/<n>`. */
  readonly path: string;
  /** Takes what may be written back from the set. What QEMU has opened stays open. */
  dropWritable(): Promise<void>;
  /** Takes the whole set back. What QEMU has opened stays open; it forgets the set when it closes that. */
  remove(): Promise<void>;
}

/** The files of one machine. */
export class QemuFiles {
  readonly #qmp: Qmp;
  readonly #send: FileSender;
  #nextSet = 1;

  constructor(qmp: Qmp, send: FileSender) {
    this.#qmp = qmp;
    this.#send = send;
  }

  /**
   * Gives QEMU files, all of them at once.
   *
   * @param sets the descriptors of each set: at most one for each access
   * @returns the sets, in the same order
   * @throws SbxError when one of them could not be given; QEMU has none of them then
   */
  async give(sets: readonly (readonly GivenFd[])[]): Promise<FileSet[]> {
    const planned = sets.map((files) => ({ id: this.#nextSet++, files }));
    const commands = planned.flatMap(({ id, files }) => files.map((file) => addFd(id, file)));
    const outcomes = await this.#qmp.executeWithFiles(commands, this.#send);
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) {
      await Promise.allSettled(planned.map(({ id }) => this.#remove(id)));
      throw failed.reason;
    }
    const numbers = outcomes.map((outcome) => numberIn(outcome.status === "fulfilled" ? outcome.value : undefined));
    let next = 0;
    return planned.map(({ id, files }) => {
      const own = files.map(({ access }) => ({ access, number: numbers[next++] ?? -1 }));
      return this.#set(id, own);
    });
  }

  #set(id: number, files: { access: GivenFd["access"]; number: number }[]): FileSet {
    return {
      path: `/dev/fdset/${id}`,
      dropWritable: async () => {
        for (const { number } of files.filter(({ access }) => access === "read-write")) {
          await this.#qmp.execute("remove-fd", { "fdset-id": id, fd: number });
        }
      },
      remove: async () => this.#remove(id),
    };
  }

  async #remove(id: number): Promise<void> {
    await this.#qmp.execute("remove-fd", { "fdset-id": id });
  }
}

function addFd(id: number, { fd, access }: GivenFd): FileCommand {
  return { execute: "add-fd", arguments: { "fdset-id": id, opaque: access }, fd };
}

function numberIn(answer: unknown): number {
  const fd = typeof answer === "object" && answer !== null && "fd" in answer ? answer.fd : undefined;
  if (typeof fd !== "number") throw new SbxError("vm_start_failed", "QEMU does not say which file it was given");
  return fd;
}
