/**
 * The processes that clients started in a sandbox, shared by all connections. Process ids come from the guest; a
 * record is kept for a while after the end, as a status may be asked for again.
 */
import type { AgentExecParams, AgentExit } from "../../protocol/agent-calls.ts";
import type { AgentLink, GuestReadable, GuestWritable } from "../../guest/link.ts";
import { AgentError } from "../../guest/link.ts";
import { processGone } from "./call-error.ts";

/** Ended processes whose status is kept. */
const MAX_ENDED = 4096;

export interface LaunchSpec {
  argv: string[];
  env: Record<string, string>;
  cwd: string;
  user: string;
  pty: { cols: number; rows: number } | null;
  /** Which of the three are pipes; the others are /dev/null. A PTY has stdin and stdout. */
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  /** Output of what it leaves behind goes on after its end; the status waits for it. */
  lingers?: boolean;
  /** Side channel on descriptor 3: a pipe to the host, or a socket. */
  channel?: "pipe" | "socket";
}

export interface Launched {
  process: GuestProcess;
  stdin: GuestWritable | null;
  stdout: GuestReadable | null;
  stderr: GuestReadable | null;
  channel: { readable: GuestReadable; writable: GuestWritable | null } | null;
}

/** One process and what belongs to it. */
export class GuestProcess {
  readonly pid: number;
  /** Settles with the end of the process; rejects if the sandbox ends first. */
  readonly exit: Promise<AgentExit>;
  readonly hasTerminal: boolean;
  exited = false;
  /** Whether it was ever seen to listen on a port. */
  hasServed = false;
  readonly #link: AgentLink;

  constructor(pid: number, hasTerminal: boolean, link: AgentLink) {
    this.pid = pid;
    this.hasTerminal = hasTerminal;
    this.#link = link;
    this.exit = link.call("wait", { pid }).finally(() => (this.exited = true));
    this.exit.catch(() => undefined); // the end of the link is told to all who wait
  }

  /** @throws CallError if the process is gone; its id may be another's by now, so the guest is not even asked */
  async signal(signal: string, group: boolean): Promise<void> {
    if (this.exited) throw processGone(this.pid);
    try {
      await this.#link.call("kill", { pid: this.pid, signal, group });
    } catch (error) {
      throw error instanceof AgentError && error.code === "ESRCH" ? processGone(this.pid) : error;
    }
  }
}

/** Told of each process that was started. */
export type ProcessObserver = (started: {
  pid: number;
  argv: readonly string[];
  user: string;
  hasTerminal: boolean;
  exit: Promise<AgentExit>;
}) => void;

export class ProcessTable {
  readonly #link: AgentLink;
  readonly #observe: ProcessObserver;
  readonly #processes = new Map<number, GuestProcess>();
  readonly #ended: GuestProcess[] = [];

  constructor(link: AgentLink, observe: ProcessObserver = () => undefined) {
    this.#link = link;
    this.#observe = observe;
  }

  /** @throws CallError if no process of that id is known */
  get(pid: number): GuestProcess {
    const process = this.#processes.get(pid);
    if (process === undefined) throw processGone(pid);
    return process;
  }

  /** @throws AgentError from `exec`; its path tells a missing directory from a missing program */
  async launch(spec: LaunchSpec): Promise<Launched> {
    const link = this.#link;
    const stdin = spec.stdin ? link.openWritable() : null;
    const stdout = spec.stdout ? link.openReadable({ terminal: spec.pty !== null }) : null;
    const stderr = spec.stderr ? link.openReadable() : null;
    const channel =
      spec.channel === undefined
        ? null
        : { readable: link.openReadable(), writable: spec.channel === "socket" ? link.openWritable() : null };
    const params: AgentExecParams = {
      argv: spec.argv,
      env: spec.env,
      cwd: spec.cwd,
      user: spec.user,
      pty: spec.pty === null ? null : { cols: spec.pty.cols, rows: spec.pty.rows },
      stdin: stdin?.streamId ?? null,
      stdout: stdout?.streamId ?? null,
      stderr: stderr?.streamId ?? null,
    };
    if (spec.lingers === true) params.lingers = true;
    if (channel !== null) {
      const { readable, writable } = channel;
      params.extra = [{ fd: 3, read: readable.streamId, ...(writable === null ? {} : { write: writable.streamId }) }];
    }
    try {
      const { pid } = await link.call("exec", params);
      const process = this.#add(pid, spec.pty !== null);
      const { exit, hasTerminal } = process;
      this.#observe({ pid, argv: spec.argv, user: spec.user, hasTerminal, exit });
      return { process, stdin, stdout, stderr, channel };
    } catch (error) {
      for (const stream of [stdin, stdout, stderr, channel?.readable, channel?.writable]) stream?.destroy();
      throw error;
    }
  }

  #add(pid: number, hasTerminal: boolean): GuestProcess {
    const process = new GuestProcess(pid, hasTerminal, this.#link);
    this.#processes.set(pid, process);
    void process.exit.then(
      () => this.#retire(process),
      () => this.#retire(process),
    );
    return process;
  }

  #retire(process: GuestProcess): void {
    this.#ended.push(process);
    if (this.#ended.length <= MAX_ENDED) return;
    const oldest = this.#ended.shift();
    // The guest may have given the id to a newer process.
    if (oldest !== undefined && this.#processes.get(oldest.pid) === oldest) this.#processes.delete(oldest.pid);
  }
}
