/**
 * QMP, QEMU's monitor protocol: one JSON object a line in both directions (QEMU documentation, "QEMU Machine Protocol
 * Specification"). The peer is the QEMU process, which a hostile guest may have taken over: lines are bounded and
 * anything unexpected ends the session.
 */
import type { Duplex } from "node:stream";
import { SbxError } from "../runtime/errors.ts";

/** Longest line that is taken, `bytes`. */
const MAX_LINE_BYTES = 1024 * 1024;

export interface QmpEvent {
  event: string;
  data: Record<string, unknown>;
}

/** A command takes milliseconds; on a machine that starts forty guests at once, seconds. `ms` */
const COMMAND_DEADLINE_MS = 60_000;

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
  #buffer = "";
  #nextId = 1;
  #failure: Error | undefined;

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

  onEvent(listener: (event: QmpEvent) => void): void {
    this.#listeners.add(listener);
  }

  /**
   * Executes one command.
   *
   * @throws SbxError `vm_start_failed` with QEMU's own words, or when the connection is gone
   */
  execute(command: string, args: JsonObject = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      const id = this.#nextId++;
      const timer = setTimeout(() => {
        this.#fail(
          new SbxError("vm_start_timeout", `QEMU did not answer ${command} within ${COMMAND_DEADLINE_MS / 1000} s`),
        );
      }, COMMAND_DEADLINE_MS).unref();
      this.#pending.set(id, { resolve, reject, timer });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    });
  }

  #receive(chunk: string): void {
    this.#buffer += chunk;
    while (this.#failure === undefined) {
      const end = this.#buffer.indexOf("\n");
      if (end < 0) break;
      const line = this.#buffer.slice(0, end);
      this.#buffer = this.#buffer.slice(end + 1);
      if (line.trim() !== "") this.#dispatch(line);
    }
    if (this.#buffer.length > MAX_LINE_BYTES) this.#fail(new Error("the monitor sent a line that is too long"));
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
    const pending = typeof message.id === "number" ? this.#pending.get(message.id) : undefined;
    if (pending === undefined) return;
    this.#pending.delete(message.id as number);
    clearTimeout(pending.timer);
    if (isObject(message.error)) {
      pending.reject(new SbxError("vm_start_failed", `QEMU refused a command: ${describe(message.error)}`));
    } else {
      pending.resolve(message.return);
    }
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#pending.clear();
    this.#buffer = "";
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
