/**
 * The body of a request or response while a hook decides. It stays where it is until the hook reads it; what the hook
 * has read is kept until it has decided, since "unchanged" then means these bytes again.
 */
import { Readable } from "node:stream";
import { CreditGate, sendPart } from "./body-flow.ts";
import { HookError } from "./hooks.ts";
import type { HookLink } from "./hook-link.ts";

/** What is kept of one body, at most. */
export const MAX_KEPT_BYTES = 16 * 1024 * 1024;
/** What is kept of all bodies of a sandbox. */
const MAX_KEPT_TOTAL_BYTES = 32 * 1024 * 1024;

type Parts = AsyncIterator<Buffer, undefined>;

/** Room for what is kept, shared by all bodies of one sandbox. */
export class KeptBudget {
  #bytes = 0;

  get leftBytes(): number {
    return MAX_KEPT_TOTAL_BYTES - this.#bytes;
  }

  take(bytes: number): void {
    this.#bytes += bytes;
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
  }
}

export class BodyTap {
  readonly #source: Readable;
  readonly #link: HookLink;
  readonly #id: number;
  readonly #budget: KeptBudget;
  readonly #gate = new CreditGate(0);
  readonly #running: Promise<void>;
  #parts: Parts | undefined;
  /** `null` when nothing has to be kept any more, or too much had been read. */
  #kept: Buffer[] | null = [];
  #keptBytes = 0;
  #tooLarge = false;
  #over = false;
  #failure: Error | undefined;

  constructor(source: Readable, link: HookLink, id: number, budget: KeptBudget) {
    this.#source = source;
    this.#link = link;
    this.#id = id;
    this.#budget = budget;
    source.on("error", () => undefined); // whoever reads it is told
    this.#running = this.#run();
  }

  credit(bytes: number): void {
    this.#gate.add(bytes);
  }

  /** The hook has something else than this body to send. It may go on reading. */
  drop(): void {
    this.#forget();
  }

  /** The hook reads no more of it. */
  close(): void {
    this.#gate.close();
    this.#forget();
  }

  /** The hook wants no more for now; whether this body goes out is not decided by that. */
  stop(): void {
    this.#gate.close();
  }

  /**
   * The same bytes as came in: the very stream, if nobody read of it.
   *
   * @throws HookError if more was read than is kept
   */
  unchanged(): Readable {
    this.#gate.close();
    if (this.#parts === undefined) return this.#source;
    if (this.#tooLarge) {
      throw new HookError(
        `the hook read more than ${MAX_KEPT_BYTES / 1024 / 1024} MiB of a body and returned nothing; ` +
          "it has to return a Request or Response with the body then",
      );
    }
    return Readable.from(this.#replay(this.#parts), { objectMode: false });
  }

  async #run(): Promise<void> {
    if (!(await this.#gate.opened())) return;
    this.#parts = this.#source.iterator({ destroyOnReturn: false }) as Parts;
    try {
      while (!this.#gate.closed) {
        const { done, value } = await this.#parts.next();
        if (done === true) {
          this.#over = true;
          this.#link.sendEnd(this.#id);
          return;
        }
        this.#keep(value);
        if (!(await sendPart(this.#link, this.#id, this.#gate, value))) return;
        if (!(await this.#gate.opened())) return;
      }
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
      this.#link.sendEnd(this.#id, this.#failure.message);
    }
  }

  async *#replay(parts: Parts): AsyncGenerator<Buffer> {
    try {
      yield* this.#takeKept();
      await this.#running; // one read may have been under way when the hook decided
      yield* this.#takeKept();
      while (!this.#over) {
        if (this.#failure !== undefined) throw this.#failure;
        const { done, value } = await parts.next();
        if (done === true) this.#over = true;
        else yield value;
      }
    } finally {
      this.#forget();
      if (!this.#over) this.#source.destroy();
    }
  }

  *#takeKept(): Generator<Buffer> {
    for (let part = this.#kept?.shift(); part !== undefined; part = this.#kept?.shift()) {
      this.#keptBytes -= part.length;
      this.#budget.release(part.length);
      yield part;
    }
  }

  #keep(part: Buffer): void {
    if (this.#kept === null) return;
    const room = Math.min(this.#budget.leftBytes, MAX_KEPT_BYTES - this.#keptBytes);
    // One read may come in when the hook has decided already: it is part of what goes out.
    if (part.length > room && !this.#gate.closed) {
      this.#forget();
      this.#tooLarge = true;
      return;
    }
    this.#kept.push(part);
    this.#keptBytes += part.length;
    this.#budget.take(part.length);
  }

  #forget(): void {
    this.#kept = null;
    this.#budget.release(this.#keptBytes);
    this.#keptBytes = 0;
  }
}
