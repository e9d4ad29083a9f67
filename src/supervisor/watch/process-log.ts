/**
 * Keeps the output of processes that run in the background. What they write is the guest's to choose: texts are cut, the
 * two files are capped, and a process that writes faster than the log is kept waiting, so that it costs the host little.
 */
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { AgentExit } from "../../protocol/agent-calls.ts";
import { encodeLineRecord, PROCESS_LOG_NAME, type ProcessStream } from "../../protocol/line-records.ts";
import { CappedLog } from "../capped-log.ts";
import { LineBlocks } from "./line-blocks.ts";

/** Size of one of the two files, `bytes`. */
export const PROCESS_LOG_CAP_BYTES = 4 * 1024 * 1024;
/** What all of a sandbox's processes together may write, `bytes` a second. */
const RATE_BYTES = 4 * 1024 * 1024;
/** As far ahead of its rate as the log may be before it waits, `ms`. */
const AHEAD_MS = 250;

export interface BackgroundProcess {
  pid: number;
  /** The program's name, for a person. */
  program: string;
  exit: Promise<AgentExit>;
  stdout: AsyncIterable<Uint8Array> | null;
  stderr: AsyncIterable<Uint8Array> | null;
}

export class ProcessLog implements Disposable {
  readonly #file: string;
  readonly #capBytes: number;
  readonly #ratePerMs: number;
  #log: CappedLog | undefined;
  #closed = false;
  /** When what was written is paid for, by the monotonic clock, `ms`. */
  #paidAt = 0;

  constructor(directory: string, options: { rateBytes?: number; capBytes?: number } = {}) {
    this.#file = path.join(directory, PROCESS_LOG_NAME);
    this.#capBytes = options.capBytes ?? PROCESS_LOG_CAP_BYTES;
    this.#ratePerMs = (options.rateBytes ?? RATE_BYTES) / 1000;
  }

  /** Reads a process's output to its end. Settles when the process is over and all of it is written; never rejects. */
  async keep({ pid, program, exit, stdout, stderr }: BackgroundProcess): Promise<void> {
    this.#write(pid, "event", [`started: ${program}`]);
    await Promise.all([this.#drain(pid, "stdout", stdout), this.#drain(pid, "stderr", stderr)]);
    const end = await exit.then(describeEnd, () => undefined);
    if (end !== undefined) this.#write(pid, "event", [end]);
  }

  /** What comes later is dropped. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#log?.[Symbol.dispose]();
    this.#log = undefined;
  }

  async #drain(pid: number, stream: ProcessStream, output: AsyncIterable<Uint8Array> | null): Promise<void> {
    if (output === null) return;
    const blocks = new LineBlocks();
    try {
      for await (const chunk of output) {
        // Paid for is what was written: a record of a byte, or of control characters, is many times as long as that.
        const writtenBytes = this.#write(pid, stream, blocks.push(chunk));
        await this.#pay(Math.max(writtenBytes, chunk.byteLength));
      }
    } catch {
      // The sandbox ended: what came until then is kept.
    }
    this.#write(pid, stream, blocks.rest());
  }

  /** Returns how many bytes that took. */
  #write(pid: number, stream: ProcessStream, texts: readonly string[]): number {
    let bytes = 0;
    if (this.#closed) return bytes;
    try {
      for (const text of texts) {
        this.#log ??= new CappedLog(this.#file, this.#capBytes);
        const record = Buffer.from(encodeLineRecord({ time: Date.now(), text, process: { pid, stream } }));
        bytes += record.length;
        this.#log.write(record);
      }
    } catch {
      // No room on the disk, or the directory is gone: these lines are lost, the process is not.
    }
    return bytes;
  }

  async #pay(bytes: number): Promise<void> {
    const now = performance.now();
    this.#paidAt = Math.max(now, this.#paidAt) + bytes / this.#ratePerMs;
    const ahead = this.#paidAt - now;
    if (ahead > AHEAD_MS && !this.#closed) await sleep(ahead - AHEAD_MS / 2);
  }
}

function describeEnd({ code, signal, oom }: AgentExit): string {
  const memory = oom === null ? "" : " (out of memory)";
  return signal === null ? `exited with status ${code}` : `ended by ${signal}${memory}`;
}
