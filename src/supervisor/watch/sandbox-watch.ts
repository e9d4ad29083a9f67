/** What is kept of a running sandbox for those who watch it: events, the output of processes in the background, usage. */
import type { AgentLink } from "../../guest/link.ts";
import type { NewEvent } from "../../store/events/event-store.ts";
import type { Launched } from "../rpc/process-table.ts";
import { ProcessEvents, programName, type StartedProcess } from "./process-events.ts";
import type { ProcessLog } from "./process-log.ts";
import type { UsageMeter, UsageMeterOptions } from "./usage-meter.ts";

export interface SandboxWatchOptions {
  sandbox: { id: string; name: string | null };
  directory: string;
  /** Writes events into the state database. Does not throw. */
  write: (events: readonly NewEvent[]) => void;
}

export class SandboxWatch implements AsyncDisposable {
  readonly #options: SandboxWatchOptions;
  readonly #events: ProcessEvents;
  #log: Promise<ProcessLog> | undefined;
  #meter: Promise<UsageMeter> | undefined;

  constructor(options: SandboxWatchOptions) {
    this.#options = options;
    this.#events = new ProcessEvents(options);
  }

  readonly processStarted = (process: StartedProcess): void => this.#events.record(process);

  readonly secretsSet = (names: readonly string[], how: "granted" | "rotated"): void => {
    const { sandbox, write } = this.#options;
    write([{ time: Date.now(), type: `secret.${how}`, sandbox, detail: { names: [...names] } }]);
  };

  /** Takes over a process in the background. */
  readonly keepOutput = ({ process, stdout, stderr }: Launched, argv: readonly string[]): void => {
    const { pid, exit } = process;
    this.#log ??= this.#openLog();
    void this.#log.then(async (log) => log.keep({ pid, program: programName(argv), exit, stdout, stderr }));
  };

  /** Loaded when somebody first looks. */
  async meter(link: AgentLink, options: Omit<UsageMeterOptions, "link">): Promise<UsageMeter> {
    this.#meter ??= import("./usage-meter.ts").then(({ UsageMeter: Meter }) => new Meter({ ...options, link }));
    return this.#meter;
  }

  /** Writes the events that wait: before the end is one. */
  flush(): void {
    this.#events.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#events[Symbol.dispose]();
    (await this.#log)?.[Symbol.dispose]();
  }

  async #openLog(): Promise<ProcessLog> {
    const { ProcessLog: Log } = await import("./process-log.ts");
    return new Log(this.#options.directory);
  }
}
