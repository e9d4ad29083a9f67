/**
 * Fuzzes the RPC server from both sides: messages that are random, mutated or right but absurd on one, a guest that
 * answers as it likes on the other. Fails when the server throws, breaks its own protocol (a reply twice or of a wrong
 * shape, an empty chunk, anything after a stream's end or cancel), or keeps a stream of the guest's after its client.
 */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { WebSocket } from "ws";
import { decodeBinaryFrame, encodeBinaryFrame } from "../src/protocol/binary-frames.ts";
import { MAX_STREAM_ID } from "../src/protocol/rpc-limits.ts";
import { parseNotification, parseServerMessage } from "../src/protocol/rpc-messages.ts";
import { isRpcMethod, RPC_METHODS } from "../src/protocol/rpc-methods.ts";
import { serveConnection } from "../src/supervisor/rpc/connection.ts";
import { createGuestState } from "../src/supervisor/rpc/guest-state.ts";
import { type FuzzOptions, fuzzFailure, readCorpus } from "./corpus-files.ts";
import { FakeLink } from "./fake-link.ts";
import { makeMessage, makePrelude, type MessageMaker } from "./rpc-messages.ts";
import { SeededRandom } from "./seeded-random.ts";

/** Runs `iterations` conversations that grow from `seed`. */
export async function fuzz({ seed, iterations }: FuzzOptions): Promise<void> {
  const corpus = readCorpus("rpc-server").flatMap((file) => file.toString("utf8").split("\n").filter(Boolean));
  for (let iteration = -1; iteration < iterations; iteration++) {
    const random = new SeededRandom(seed * 1_000_003 + iteration);
    // The first conversation is the corpus itself.
    const messages = iteration < 0 ? corpus.map((text) => Buffer.from(text)) : makeMessages(random, corpus);
    try {
      await converse(messages, random);
    } catch (error) {
      const input = Buffer.concat(messages.flatMap((message) => [message, Buffer.from("\n")]));
      throw fuzzFailure("rpc-server", seed, iteration, input, error);
    }
  }
}

function makeMessages(random: SeededRandom, corpus: string[]): Buffer[] {
  const maker: MessageMaker = { nextId: 0, isWild: random.chance(25) };
  const prelude = random.chance(60) ? makePrelude(random, maker) : [];
  const messages = Array.from({ length: 1 + random.below(24) }, () => {
    if (maker.isWild && random.chance(5)) return random.bytes(1 + random.below(64));
    if (maker.isWild && random.chance(15)) return random.mutate(Buffer.from(random.pick(corpus)));
    if (random.chance(10)) return encodeBinaryFrame(random.below(6), random.bytes(1 + random.below(300)));
    const message = Buffer.from(JSON.stringify(makeMessage(random, maker)));
    return maker.isWild && random.chance(5) ? random.mutate(message) : message;
  });
  return [...prelude.map((message) => Buffer.from(JSON.stringify(message))), ...messages];
}

async function converse(messages: Buffer[], random: SeededRandom): Promise<void> {
  const link = new FakeLink(random);
  const state = createGuestState({
    link,
    user: "app",
    home: "/home/app",
    env: { PATH: "/bin" },
    info: () => ({}) as never,
  });
  const extensions = random.chance(50);
  const socket = new FakeSocket(random, extensions);
  const connection = serveConnection(socket as unknown as WebSocket, state, { extensions });
  for (const message of messages) {
    // A frame is nothing that a plain client sends.
    if (message[0] !== 1 || extensions) socket.deliver(message, message[0] === 1);
    if (random.chance(20)) await turn();
    if (random.chance(20)) socket.meddle();
  }
  for (let i = random.below(4); i > 0; i--) await turn();
  if (random.chance(30)) connection.close(1001, "enough");
  socket.vanish();
  await connection.closed;
  await turn();
  link.assertReleased();
  link.end();
  await turn();
  if (socket.failure !== undefined) throw socket.failure;
}

async function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The server's end of a WebSocket, which checks every message that the server sends. */
class FakeSocket extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  failure: Error | undefined;
  readonly #random: SeededRandom;
  readonly #extensions: boolean;
  /** Methods by the id of their requests; a mutated message may repeat an id. */
  readonly #asked = new Map<unknown, string[]>();
  readonly #streams = new Map<number, "open" | "over">();
  /** Of a text message that is not whole yet. */
  readonly #pieces: Buffer[] = [];

  constructor(random: SeededRandom, extensions: boolean) {
    super();
    this.#random = random;
    this.#extensions = extensions;
  }

  deliver(message: Buffer, isBinary: boolean): void {
    if (this.readyState !== this.OPEN) return;
    this.#note(message);
    this.emit("message", message, isBinary);
  }

  /** Cancels a stream that the server has begun, or one that is over, or gives it credit. */
  meddle(): void {
    if (this.#streams.size === 0) return;
    const streamId = this.#random.pick([...this.#streams.keys()]);
    const method = this.#random.chance(70) ? "$sandbox.stream.cancel" : "$sbx.stream.credit";
    const params = { streamId, reason: null, bytes: 1 + this.#random.below(1000) };
    this.deliver(Buffer.from(JSON.stringify({ jsonrpc: "2.0", method, params })), false);
  }

  /** The client is gone. */
  vanish(): void {
    this.readyState = 3;
    this.emit("close", 1006, Buffer.alloc(0));
  }

  send(message: string | Buffer, ...rest: [sent: () => void] | [{ binary: false; fin?: boolean }, () => void]): void {
    const [options, sent] = rest.length === 2 ? rest : [undefined, rest[0]];
    try {
      if (options === undefined) {
        assert.equal(this.#pieces.length, 0, "a message between two pieces of another one");
        this.#check(message);
      } else this.#checkPiece(message as Buffer, options.fin ?? true);
    } catch (error) {
      this.failure ??= error instanceof Error ? error : new Error(String(error));
    }
    if (this.#random.chance(80)) sent();
    else setImmediate(sent);
  }

  /** Most clients answer, sooner or later. */
  ping(data: string): void {
    if (this.#random.chance(60)) this.emit("pong", Buffer.from(data));
    else if (this.#random.chance(95)) setImmediate(() => this.emit("pong", Buffer.from(data)));
  }

  close(code: number, reason: string): void {
    if (![1000, 1001, 4000, 4001].includes(code)) this.failure ??= new Error(`closed with ${code} ${reason}`);
    if (Buffer.byteLength(reason) > 123) this.failure ??= new Error("a reason that is too long");
    this.readyState = 2;
  }

  terminate(): void {
    this.readyState = 3;
  }

  pause(): void {
    // Nothing is read here that could be paused.
  }

  resume(): void {
    // Nor resumed.
  }

  /** Remembers what was asked and what was cancelled, where the message can be understood at all. */
  #note(message: Buffer): void {
    let parsed: { id?: unknown; method?: unknown; params?: { streamId?: unknown } | null } | null;
    try {
      parsed = JSON.parse(message.toString("utf8")) as typeof parsed;
    } catch {
      return; // the server will say what it thinks of it
    }
    if (typeof parsed !== "object" || parsed === null || typeof parsed.method !== "string") return;
    if (parsed.id !== undefined) this.#asked.set(parsed.id, [...(this.#asked.get(parsed.id) ?? []), parsed.method]);
    const streamId = parsed.params?.streamId;
    if (parsed.method === "$sandbox.stream.cancel" && typeof streamId === "number" && this.#streams.has(streamId)) {
      this.#streams.set(streamId, "over");
    }
  }

  /** A text message in fragments is one message. */
  #checkPiece(piece: Buffer, isLast: boolean): void {
    this.#pieces.push(piece);
    if (!isLast) return;
    const text = Buffer.concat(this.#pieces.splice(0)).toString("utf8");
    this.#check(text);
  }

  #check(message: string | Buffer): void {
    if (message === "pong") return;
    if (typeof message !== "string") {
      assert.ok(this.#extensions);
      const { streamId, payload } = decodeBinaryFrame(message);
      assert.ok(payload.length > 0);
      this.#assertOpen(streamId);
      return;
    }
    const parsed = parseServerMessage(message);
    if (parsed.kind === "notification") {
      this.#checkNotification(parsed);
      return;
    }
    const methods = this.#asked.get(parsed.id) ?? [];
    const method = methods.pop();
    assert.ok(method !== undefined, `a reply to ${parsed.id}, which was not asked or has been answered`);
    if (parsed.kind === "failure") assert.ok([-32601, -32602].includes(parsed.code));
    else if ("ok" in parsed.outcome && methods.length === 0 && isRpcMethod(method) && method !== "sbx.info") {
      RPC_METHODS[method].result.parse(parsed.outcome.ok);
    }
  }

  #checkNotification(message: { kind: "notification"; method: string; params: unknown }): void {
    const notification = parseNotification(message);
    assert.ok(notification !== undefined);
    switch (notification.method) {
      case "$sandbox.stream.start":
        assert.ok(!this.#streams.has(notification.streamId) && notification.streamId <= MAX_STREAM_ID);
        this.#streams.set(notification.streamId, "open");
        break;
      case "$sandbox.stream.enqueue":
        assert.ok(notification.data.length > 0);
        this.#assertOpen(notification.streamId);
        break;
      case "$sandbox.stream.end":
        this.#assertOpen(notification.streamId);
        this.#streams.set(notification.streamId, "over");
        break;
      case "$sandbox.stream.error":
        // One that was never started may fail, when the connection closes.
        assert.notEqual(this.#streams.get(notification.streamId), "over");
        this.#streams.set(notification.streamId, "over");
        break;
      case "$sbx.stream.credit":
        assert.ok(this.#extensions && notification.bytes > 0);
        break;
      case "$sandbox.stream.cancel":
      case "$sandbox.deno.watcher.restart":
        break;
    }
  }

  #assertOpen(streamId: number): void {
    assert.equal(this.#streams.get(streamId), "open", `stream ${streamId}`);
  }
}
