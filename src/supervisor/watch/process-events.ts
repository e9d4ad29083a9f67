/**
 * Events of processes that clients start: what program, when, how it ended; no argument and no variable of it. They are
 * written a little later and together, since starting a process must not wait for the database, and a client that
 * starts very many has only some of them recorded.
 */
import path from "node:path";
import type { AgentExit } from "../../protocol/agent-calls.ts";
import type { EventDetail } from "../../protocol/event-record.ts";
import type { NewEvent } from "../../store/events/event-store.ts";

const FLUSH_MS = 250;
/** Processes that may be recorded at once, and how many more each second. */
const BURST = 200;
const PER_SECOND = 10;
const MAX_PROGRAM_CHARS = 64;

export interface StartedProcess {
  pid: number;
  argv: readonly string[];
  user: string;
  hasTerminal: boolean;
  /** Rejects where the sandbox ends first. */
  exit: Promise<AgentExit>;
}

export interface ProcessEventsOptions {
  sandbox: { id: string; name: string | null };
  write: (events: readonly NewEvent[]) => void;
  /** Epoch `ms`. */
  now?: () => number;
}

export class ProcessEvents implements Disposable {
  readonly #options: ProcessEventsOptions;
  readonly #now: () => number;
  #waiting: NewEvent[] = [];
  #timer: NodeJS.Timeout | undefined;
  #room = BURST;
  #filledAt: number;
  #skipped = 0;

  constructor(options: ProcessEventsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#filledAt = this.#now();
  }

  /** A process was started. */
  readonly record = ({ pid, argv, user, hasTerminal, exit }: StartedProcess): void => {
    if (!this.#hasRoom()) {
      this.#skipped += 1;
      return;
    }
    const skipped = this.#skipped === 0 ? {} : { skipped: this.#skipped };
    this.#skipped = 0;
    const program = programName(argv);
    this.#add("process.started", { pid, program, user, terminal: hasTerminal, ...skipped });
    void exit.then(
      ({ code, signal, oom }) => this.#add("process.ended", { pid, program, code, signal, outOfMemory: oom !== null }),
      () => undefined, // that the sandbox ended is an event of its own
    );
  };

  /** Writes what waits. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const events = this.#waiting;
    this.#waiting = [];
    if (events.length > 0) this.#options.write(events);
  }

  [Symbol.dispose](): void {
    this.flush();
  }

  #add(type: NewEvent["type"], detail: EventDetail): void {
    this.#waiting.push({ time: this.#now(), type, sandbox: this.#options.sandbox, detail });
    this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS);
  }

  #hasRoom(): boolean {
    const now = this.#now();
    this.#room = Math.min(BURST, this.#room + ((now - this.#filledAt) / 1000) * PER_SECOND);
    this.#filledAt = now;
    if (this.#room < 1) return false;
    this.#room -= 1;
    return true;
  }
}

/** `node` for `/usr/bin/node`. */
export function programName([first = ""]: readonly string[]): string {
  return path.posix.basename(first).slice(0, MAX_PROGRAM_CHARS);
}
