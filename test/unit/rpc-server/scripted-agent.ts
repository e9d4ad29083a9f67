/**
 * A guest agent in this process, at the level of calls: a test says what each method answers, and gets at the bytes
 * of the streams. The real link is in between, so windows and ends are the real ones.
 */
import { duplexPair } from "node:stream";
import type { AgentCalls } from "../../../src/protocol/agent-calls.ts";
import { encodeCredit, encodeFrame, encodeJsonFrame, FRAME, FrameDecoder } from "../../../src/protocol/agent-frames.ts";
import { openAgentLink } from "../../../src/guest/agent-link.ts";
import type { AgentLink } from "../../../src/guest/link.ts";

/** A failure to answer a call with. */
export class Fail extends Error {
  readonly code: string;
  readonly path: string | undefined;
  constructor(code: string, path?: string) {
    super(code);
    this.code = code;
    this.path = path;
  }
}

type Answer<M extends keyof AgentCalls> = (
  params: AgentCalls[M]["params"],
  agent: ScriptedAgent,
) => AgentCalls[M]["result"] | Promise<AgentCalls[M]["result"]>;
export type Script = { [M in keyof AgentCalls]?: Answer<M> };

export interface SeenCall {
  method: keyof AgentCalls;
  params: Record<string, unknown>;
}

interface Consumed {
  chunks: Buffer[];
  outcome?: "end" | { code: string; message: string };
}

export class ScriptedAgent {
  readonly calls: SeenCall[] = [];
  readonly cancelled: string[] = [];
  /** Streams that the host wants no more of. */
  readonly stopped = new Set<number>();
  script: Script;
  readonly #send: (bytes: Buffer) => void;
  readonly #consumed = new Map<number, Consumed>();
  readonly #windows = new Map<number, number>();
  readonly #open = new Map<number, string>();
  readonly #waiters = new Set<() => void>();
  /** Streams of the host's that get no credit. */
  readonly stuck = new Set<number>();

  constructor(script: Script, send: (bytes: Buffer) => void) {
    this.script = script;
    this.#send = send;
  }

  /** Bytes to a stream of the guest's, as the window allows. */
  async produce(streamId: number, bytes: Buffer | string): Promise<void> {
    let rest = Buffer.from(bytes);
    while (rest.length > 0) {
      await this.until(() => this.window(streamId) > 0 || this.stopped.has(streamId));
      if (this.stopped.has(streamId)) return;
      const part = rest.subarray(0, Math.min(rest.length, this.window(streamId), 64 * 1024));
      this.#windows.set(streamId, this.window(streamId) - part.length);
      this.#send(encodeFrame(FRAME.data, streamId, part));
      rest = rest.subarray(part.length);
    }
  }

  async produceAll(streamId: number, bytes: Buffer | string): Promise<void> {
    await this.produce(streamId, bytes);
    this.end(streamId);
  }

  end(streamId: number): void {
    this.#send(encodeFrame(FRAME.end, streamId));
  }

  stop(streamId: number): void {
    this.#send(encodeFrame(FRAME.stop, streamId));
  }

  failStream(streamId: number, code: string): void {
    this.#send(encodeJsonFrame(FRAME.fail, streamId, { code, message: code }));
  }

  credit(streamId: number, bytes: number): void {
    this.#send(encodeCredit(streamId, bytes));
  }

  window(streamId: number): number {
    return this.#windows.get(streamId) ?? 256 * 1024;
  }

  /** What came in on a stream of the host's so far. */
  received(streamId: number): Buffer {
    return Buffer.concat(this.#consumed.get(streamId)?.chunks ?? []);
  }

  /** All of a stream of the host's. @throws Fail if the host failed it */
  async consume(streamId: number): Promise<Buffer> {
    await this.until(() => this.#consumed.get(streamId)?.outcome !== undefined);
    const outcome = this.#consumed.get(streamId)?.outcome;
    if (outcome !== "end" && outcome !== undefined) throw new Fail(outcome.code);
    return this.received(streamId);
  }

  /** Waits for something that this end will see; hangs (and so fails the test) if it never comes. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiters.add(resolve));
  }

  /** The first call of a method, waited for. */
  async call<M extends keyof AgentCalls>(method: M): Promise<AgentCalls[M]["params"]> {
    await this.until(() => this.calls.some((call) => call.method === method));
    return this.calls.find((call) => call.method === method)?.params as AgentCalls[M]["params"];
  }

  /** FrameSink. */
  data(id: number, part: Buffer): void {
    this.#consumption(id).chunks.push(Buffer.from(part));
    if (!this.stuck.has(id)) this.credit(id, part.length);
    this.#wake();
  }

  /** FrameSink. */
  frame(type: number, id: number, payload: Buffer): void {
    if (type === FRAME.hello) this.#send(encodeJsonFrame(FRAME.hello, 0, { protocol: 1 }));
    if (type === FRAME.call) void this.#answer(id, JSON.parse(payload.toString()) as SeenCall);
    if (type === FRAME.credit) this.#windows.set(id, this.window(id) + payload.readUInt32LE(0));
    if (type === FRAME.stop) this.stopped.add(id);
    if (type === FRAME.end) this.#consumption(id).outcome = "end";
    if (type === FRAME.fail)
      this.#consumption(id).outcome = JSON.parse(payload.toString()) as { code: string; message: string };
    if (type === FRAME.cancel) this.#cancel(id);
    this.#wake();
  }

  #cancel(id: number): void {
    const method = this.#open.get(id);
    if (method === undefined) return;
    this.#open.delete(id);
    this.cancelled.push(method);
    this.#send(encodeJsonFrame(FRAME.reply, id, { error: { code: "ECANCELED", message: "cancelled" } }));
  }

  async #answer(id: number, { method, params }: SeenCall): Promise<void> {
    this.calls.push({ method, params });
    this.#open.set(id, method);
    this.#wake();
    let reply: unknown;
    try {
      const answer = this.script[method] as Answer<keyof AgentCalls> | undefined;
      if (answer === undefined) throw new Fail("EUNSUPPORTED");
      reply = { ok: (await answer(params, this)) ?? null };
    } catch (error) {
      if (!(error instanceof Fail)) throw error;
      reply = {
        error: { code: error.code, message: error.message, ...(error.path === undefined ? {} : { path: error.path }) },
      };
    }
    if (this.#open.delete(id)) this.#send(encodeJsonFrame(FRAME.reply, id, reply));
  }

  #consumption(id: number): Consumed {
    let consumed = this.#consumed.get(id);
    if (consumed === undefined) this.#consumed.set(id, (consumed = { chunks: [] }));
    return consumed;
  }

  #wake(): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiters) wake();
  }
}

export async function openScriptedLink(script: Script): Promise<{ link: AgentLink; agent: ScriptedAgent }> {
  const [host, guest] = duplexPair({ highWaterMark: 1024 * 1024 });
  const agent = new ScriptedAgent(script, (bytes) => guest.write(bytes));
  const decoder = new FrameDecoder(agent);
  guest.on("data", (chunk: Buffer) => decoder.push(chunk));
  return { link: await openAgentLink(host), agent };
}

export { collect };

/** Never settles: for calls that are to hang. */
export function never<T>(): Promise<T> {
  return new Promise(() => undefined);
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
