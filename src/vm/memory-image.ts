/**
 * The memory of a running machine, copied into a file from which other machines can be restored. Two passes keep the
 * guest's pause short: everything is copied while it runs, and what differs is copied while it stands still. The work is
 * done by a program of its own (guest/cmd/sbx-memory), which gets descriptors from here: some hosts let only an ancestor
 * of QEMU look at its memory.
 */
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { open, type FileHandle } from "node:fs/promises";
import type { Readable, Writable } from "node:stream";
import * as z from "zod/mini";
import { SbxError } from "../runtime/errors.ts";
import { findMachineMemory } from "./machine-memory.ts";

/** One pass over 64 GiB takes less on any disk that is worth the wait, `ms`. */
const PASS_DEADLINE_MS = 10 * 60_000;
/** An answer is one short line, `bytes`. */
const MAX_ANSWER_BYTES = 64 * 1024;

export interface MemoryImageOptions {
  /** The program sbx-memory. */
  helperPath: string;
  /** The machine's outermost process. */
  machinePid: number;
  memoryBytes: number;
  /** A new file, which is filled. */
  target: FileHandle;
  signal?: AbortSignal;
}

export interface MemoryPass {
  /** Pages that the guest has written since its machine was restored. */
  private: number;
  /** Pages that this pass wrote to the file. */
  written: number;
}

const answerSchema = z.union([
  z.object({ private: z.number(), written: z.number() }),
  z.object({ error: z.string(), code: z.string() }),
]);

/**
 * Opens the machine's memory. The file is empty, and as long as the memory, when this returns.
 *
 * @throws SbxError `vm_memory_unreadable`, `disk_full`
 */
export async function openMemoryImage(options: MemoryImageOptions): Promise<MemoryImage> {
  const { helperPath, machinePid, memoryBytes, target, signal } = options;
  const { pid, address, basePath } = findMachineMemory(machinePid, memoryBytes);
  await target.truncate(memoryBytes);
  try {
    await using mem = await open(`/proc/${pid}/mem`, "r");
    await using pagemap = await open(`/proc/${pid}/pagemap`, "r");
    await using base = await open(basePath, "r");
    const child = spawn(helperPath, [String(pid), address, String(memoryBytes)], {
      stdio: ["pipe", "pipe", "ignore", mem.fd, pagemap.fd, base.fd, target.fd],
      env: {},
      cwd: "/",
      ...(signal === undefined ? {} : { signal, killSignal: "SIGKILL" }),
    });
    return new MemoryImage(child as ChildProcessByStdio<Writable, Readable, null>);
  } catch (cause) {
    throw new SbxError("vm_memory_unreadable", "this host does not let sbx read the memory of its own machine", {
      cause,
      // With 2 and above only root may, whoever's the process is (Yama, Linux documentation).
      hint: "see kernel.yama.ptrace_scope: up to 1 it works",
    });
  }
}

export class MemoryImage implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #exited: Promise<void>;
  #buffer = "";
  #failure: Error | undefined;
  #isOver = false;
  #wake: (() => void) | undefined;

  constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.#child = child;
    child.stdin.on("error", () => undefined); // it ended: its answers say why
    child.on("error", (error) => (this.#failure = error));
    child.stdout.setEncoding("utf8");
    child.stdout.on("data", (text: string) => {
      this.#buffer += text;
      if (this.#buffer.length > MAX_ANSWER_BYTES) child.kill("SIGKILL");
      this.#wake?.();
    });
    this.#exited = new Promise((resolve) => {
      child.once("close", () => {
        this.#isOver = true;
        this.#wake?.();
        resolve();
      });
    });
  }

  /** Copies everything. The guest may run. @throws SbxError `disk_full`, `vm_memory_unreadable`, `vm_gone` */
  async copy(): Promise<MemoryPass> {
    return this.#pass("copy");
  }

  /** Copies what differs from the file by now. The guest must stand still. @throws as {@link copy} */
  async finish(): Promise<MemoryPass> {
    return this.#pass("finish");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.destroy();
    // In the middle of a pass it would first go on to its end.
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  async #pass(what: "copy" | "finish"): Promise<MemoryPass> {
    this.#child.stdin.write(`${what}\n`);
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), PASS_DEADLINE_MS);
    try {
      while (!this.#buffer.includes("\n") && !this.#isOver) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      clearTimeout(timer);
    }
    const end = this.#buffer.indexOf("\n");
    if (end < 0) {
      throw new SbxError("vm_memory_unreadable", "the program that copies the machine's memory ended without a word", {
        cause: this.#failure,
      });
    }
    const answer = answerSchema.parse(JSON.parse(this.#buffer.slice(0, end)));
    this.#buffer = this.#buffer.slice(end + 1);
    if ("error" in answer) throw explain(answer);
    return answer;
  }
}

function explain({ error, code }: { error: string; code: string }): SbxError {
  switch (code) {
    case "ENOSPC":
      return new SbxError("disk_full", `there is no room for the machine's memory: ${error}`, { hint: "sbx prune" });
    case "ESRCH":
      return new SbxError("sandbox_stopped", "the machine ended while its memory was copied", { hint: "sbx list" });
    default:
      return new SbxError("vm_memory_unreadable", `the machine's memory could not be copied: ${error}`, {
        hint: "sbx doctor",
      });
  }
}
