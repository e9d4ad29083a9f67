/**
 * QMP, QEMU's monitor protocol: one JSON object a line in both directions (QEMU documentation, "QEMU Machine Protocol
 * Specification"). The peer is the QEMU process, which a hostile guest may have taken over: lines are bounded and
 * anything unexpected ends the session.
 */
import type { Duplex } from "node:stream";
import { SbxError } from "../runtime/errors.ts";

/** Longest line that is taken, characters: QEMU may tell of each layer of each disk, several hundred in all. */
const MAX_LINE_LENGTH = 16 * 1024 * 1024;

export interface QmpEvent {
  event: string;
  data: Record<string, unknown>;
}

/** A command takes milliseconds; on a machine that starts forty guests at once, seconds. `ms` */
const COMMAND_DEADLINE_MS = 60_000;

/** A command that hands QEMU an open file. */
export interface FileCommand {
  execute: string;
  arguments: JsonObject;
  fd: number;
}

/** Writes lines to the monitor's socket, each with an open file: Node cannot. Fails if it has not written all of them. */
export type FileSender = (socket: Duplex, lines: { line: string; fd: number }[]) => Promise<void>;

interface Pending {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

type JsonObject = Record<string, unknown>;

export class Qmp {
  readonly #socket: Duplex;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  /** The beginning of a line, in the pieces in which it came. */
  #pieces: string[] = [];
  #length = 0;
  #nextId = 1;
  #failure: Error | undefined;
  /** Lines that wait for somebody else to be done with the socket; `undefined` while it is this session's. */
  #held: string[] | undefined;
  #lending: Promise<void> = Promise.resolve();

  /**
   * What makes a QEMU that was started with `-incoming defer` restore a machine, for somebody who writes it before
   * there is a session: the session is then `negotiated`. (What goes wrong shows in QEMU's exit.)
   */
  static restoreCommands(uri: string): string {
    const commands = [
      { execute: "qmp_capabilities" },
      ignoreShared(),
      withoutAnnouncement(),
      { execute: "migrate-incoming", arguments: { uri } },
    ];
    return commands.map((command) => `${JSON.stringify(command)}\n`).join("");
  }

  constructor(socket: Duplex, { negotiated }: { negotiated: boolean } = { negotiated: false }) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => this.#receive(chunk));
    socket.on("error", (error: Error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the monitor's connection was closed")));
    // The greeting needs no answer beyond this; QEMU processes lines in order.
    if (!negotiated) this.execute("qmp_capabilities").catch((error: unknown) => this.#fail(asError(error)));
  }

  /** @returns how to stop listening */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Executes one command.
   *
   * @throws SbxError `vm_start_failed` with QEMU's own words, or when the connection is gone
   */
  execute(command: string, args: JsonObject = {}): Promise<unknown> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const { line, answer } = this.#expect(command, args);
    if (this.#held === undefined) this.#socket.write(line);
    else this.#held.push(line);
    return answer;
  }

  /**
   * Executes commands that hand files over, in this order. QEMU takes the file that came last before a command's end,
   * and the next command only after its answer, so all of them may be under way at once.
   *
   * @returns the outcome of each; one that could not be sent fails with the sender's reason
   */
  async executeWithFiles(commands: FileCommand[], send: FileSender): Promise<PromiseSettledResult<unknown>[]> {
    const before = this.#lending;
    const { promise: done, resolve: finish } = Promise.withResolvers<void>();
    this.#lending = done;
    await before;
    try {
      if (this.#failure !== undefined) throw this.#failure;
      this.#held = [];
      await this.#flushed();
      const expected = commands.map(({ execute, arguments: args, fd }) => ({ ...this.#expect(execute, args), fd }));
      const settled = Promise.allSettled(expected.map(({ answer }) => answer));
      const lines = expected.map(({ line, fd }) => ({ line: line.trimEnd(), fd }));
      const failure = await send(this.#socket, lines).then(() => undefined, asError);
      this.#takeBack();
      // QEMU answers in order: what has no answer when this one has, it never got.
      if (failure !== undefined) {
        await this.execute("query-name").catch(() => undefined);
        for (const { id } of expected) this.#settle(id, ({ reject }) => reject(failure));
      }
      return await settled;
    } finally {
      this.#takeBack();
      finish();
    }
  }

  /** Makes a command's line, and a promise of its answer. */
  #expect(command: string, args: JsonObject): { id: number; line: string; answer: Promise<unknown> } {
    const id = this.#nextId++;
    const answer = new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#fail(
          new SbxError("vm_start_timeout", `QEMU did not answer ${command} within ${COMMAND_DEADLINE_MS / 1000} s`),
        );
      }, COMMAND_DEADLINE_MS).unref();
      this.#pending.set(id, { resolve, reject, timer });
    });
    return { id, line: `${JSON.stringify({ execute: command, arguments: args, id })}\n`, answer };
  }

  #settle(id: number, how: (pending: Pending) => void): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    how(pending);
  }

  /** Writes what was held back. */
  #takeBack(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    if (this.#failure === undefined) for (const line of held) this.#socket.write(line);
  }

  /** Settles when all that was written has left this process; or never will, which whoever waits hears elsewhere. */
  async #flushed(): Promise<void> {
    while (this.#socket.writableLength > 0 && this.#failure === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  #receive(chunk: string): void {
    let rest = chunk;
    for (let end = rest.indexOf("\n"); end >= 0 && this.#failure === undefined; end = rest.indexOf("\n")) {
      const line = [...this.#pieces, rest.slice(0, end)].join("");
      rest = rest.slice(end + 1);
      this.#pieces = [];
      this.#length = 0;
      if (line.trim() !== "") this.#dispatch(line);
    }
    if (this.#failure !== undefined) return;
    if (rest !== "") this.#pieces.push(rest);
    this.#length += rest.length;
    if (this.#length > MAX_LINE_LENGTH) this.#fail(new Error("the monitor sent a line that is too long"));
  }

  #dispatch(line: string): void {
    const message = parseObject(line);
    if (message === undefined) {
      this.#fail(new Error(`the monitor sent something that is no JSON object: ${line.slice(0, 80)}`));
      return;
    }
    if (typeof message.event === "string") {
      const data = isObject(message.data) ? message.data : {};
      for (const listener of this.#listeners) listener({ event: message.event, data });
      return;
    }
    if (typeof message.id !== "number") return;
    const { error } = message;
    this.#settle(message.id, ({ resolve, reject }) => {
      if (!isObject(error)) resolve(message.return);
      else reject(new SbxError("vm_start_failed", `QEMU refused a command: ${describe(error)}`));
    });
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#pending.clear();
    this.#pieces = [];
    this.#socket.destroy();
  }
}

/** Memory that is shared with its file is not part of a saved state. (QEMU 7.2 has no command-line option for it.) */
export function ignoreShared(): { execute: string; arguments: JsonObject } {
  const capabilities = [{ capability: "x-ignore-shared", state: true }];
  return { execute: "migrate-set-capabilities", arguments: { capabilities } };
}

/** A restored machine would tell its network five times where it is; on the other end nobody is who does not know. */
export function withoutAnnouncement(): { execute: string; arguments: JsonObject } {
  return { execute: "migrate-set-parameters", arguments: { "announce-rounds": 0 } };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseObject(line: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined; // Not JSON: the caller ends the session.
  }
}

/** QEMU's words, as many as fit a message. */
function describe({ desc }: JsonObject): string {
  return typeof desc === "string" ? desc.slice(0, 500) : "it does not say why";
}

function asError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value));
}
