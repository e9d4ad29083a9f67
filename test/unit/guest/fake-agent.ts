/** A guest agent in this process, at the level of frames: it says HELLO and does what a test tells it. */
import assert from "node:assert/strict";
import { type Duplex, duplexPair } from "node:stream";
import {
  encodeFrame,
  encodeJsonFrame,
  FRAME,
  FrameDecoder,
  type FrameType,
} from "../../../src/protocol/agent-frames.ts";
import { openAgentLink } from "../../../src/guest/agent-link.ts";
import type { AgentLink } from "../../../src/guest/link.ts";

export const HELLO = { protocol: 1, agent: "fake", arch: "amd64", kernel: "6.1" };

export interface SeenFrame {
  type: FrameType;
  id: number;
  payload: Buffer;
}

export interface SeenCall {
  id: number;
  method: string;
  params: Record<string, unknown>;
}

export class FakeAgent {
  readonly socket: Duplex;
  /** Every frame from the host, DATA in the parts in which it came. */
  readonly seen: SeenFrame[] = [];
  readonly #waiters = new Set<() => void>();
  ended = false;

  constructor(socket: Duplex, hello: unknown = HELLO) {
    this.socket = socket;
    const decoder = new FrameDecoder({
      frame: (type, id, payload) => {
        this.#see({ type, id, payload: Buffer.from(payload) });
        if (type === FRAME.hello) this.sendJson(FRAME.hello, 0, hello);
      },
      data: (id, part) => this.#see({ type: FRAME.data, id, payload: Buffer.from(part) }),
    });
    socket.on("data", (chunk: Buffer) => decoder.push(chunk));
    socket.on("close", () => this.#end());
    socket.on("end", () => this.#end());
    socket.on("error", () => this.#end());
  }

  send(type: FrameType, id: number, payload?: Uint8Array): void {
    this.socket.write(encodeFrame(type, id, payload));
  }

  sendJson(type: FrameType, id: number, value: unknown): void {
    this.socket.write(encodeJsonFrame(type, id, value));
  }

  raw(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Waits until a frame for which `matches` holds has been seen, and returns it. */
  async frame(matches: (frame: SeenFrame) => boolean): Promise<SeenFrame> {
    await this.until(() => this.seen.some(matches));
    return present(this.seen.find(matches));
  }

  /** The `n`th call, from 0. */
  async call(n = 0): Promise<SeenCall> {
    await this.until(() => this.#calls().length > n);
    return present(this.#calls()[n]);
  }

  /** Bytes of DATA seen for a stream. */
  dataOf(id: number): Buffer {
    return Buffer.concat(this.seen.filter((f) => f.type === FRAME.data && f.id === id).map((f) => f.payload));
  }

  /** Waits for a condition on what was seen; hangs (and so fails the test) if it never holds. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiters.add(resolve));
  }

  #calls(): SeenCall[] {
    return this.seen
      .filter((f) => f.type === FRAME.call)
      .map((f) => ({ id: f.id, ...(JSON.parse(f.payload.toString()) as { method: string; params: Record<string, unknown> }) }));
  }

  #see(frame: SeenFrame): void {
    this.seen.push(frame);
    this.#wake();
  }

  #end(): void {
    this.ended = true;
    this.#wake();
  }

  #wake(): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiters) wake();
  }
}

/** A link with a fake agent at its other end. */
export async function openFakeLink(): Promise<{ link: AgentLink; agent: FakeAgent }> {
  const [host, guest] = duplexPair({ highWaterMark: 1024 * 1024 });
  const agent = new FakeAgent(guest);
  return { link: await openAgentLink(host), agent };
}

/** What a test knows to be there. */
export function present<T>(value: T | undefined): T {
  assert.ok(value !== undefined);
  return value;
}
