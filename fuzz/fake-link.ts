/** An agent link without an agent: it answers calls as a random guest would, rightly, wrongly or not at all. */
import assert from "node:assert/strict";
import { Readable, Writable } from "node:stream";
import { streamsOfCall } from "../src/guest/call-streams.ts";
import type { AgentCalls } from "../src/protocol/agent-calls.ts";
import { AgentError, type AgentLink, type GuestReadable, type GuestWritable } from "../src/guest/link.ts";
import type { SeededRandom } from "./seeded-random.ts";

const CODES = ["ENOENT", "EACCES", "EEXIST", "EIO", "ESRCH", "ECANCELED", "EUNSUPPORTED", "EWHATEVER", "ECONNREFUSED"];
const TYPES = ["file", "dir", "symlink", "fifo"] as const;

export class FakeLink implements AgentLink {
  readonly hello = { protocol: 1, agent: "fuzz", arch: "amd64", kernel: "6" };
  readonly greeting = undefined;
  readonly closed = new Promise<undefined>(() => undefined);
  readonly #random: SeededRandom;
  readonly #readables: GuestReadable[] = [];
  readonly #writables: GuestWritable[] = [];
  readonly #pending = new Set<(error: Error) => void>();
  /** The call that named each stream. */
  readonly #users = new Map<number, { method: keyof AgentCalls; isOpen: boolean }>();
  #lastStreamId = 0;
  #pid = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  async call<M extends keyof AgentCalls>(
    method: M,
    params: AgentCalls[M]["params"],
    options: { signal?: AbortSignal } = {},
  ): Promise<AgentCalls[M]["result"]> {
    options.signal?.throwIfAborted();
    const user = { method, isOpen: true };
    for (const id of streamsOfCall(method, params)) this.#users.set(id, user);
    try {
      return await this.#reply(method, params, options.signal);
    } finally {
      user.isOpen = false;
    }
  }

  async #reply<M extends keyof AgentCalls>(
    method: M,
    params: AgentCalls[M]["params"],
    signal: AbortSignal | undefined,
  ): Promise<AgentCalls[M]["result"]> {
    if (this.#random.chance(method === "wait" ? 60 : 15)) return this.#hang(signal);
    if (this.#random.chance(50)) await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
    if (this.#random.chance(20)) {
      this.#dropStreams(streamsOfCall(method, params));
      throw new AgentError(this.#random.pick(CODES), "fuzz", this.#random.chance(50) ? "/x" : undefined);
    }
    return this.#answer(method) as AgentCalls[M]["result"];
  }

  async detach(): Promise<void> {
    await this.call("detach", {});
  }

  async attach(): Promise<void> {
    await this.call("attach", {});
  }

  openReadable(): GuestReadable {
    const random = this.#random;
    let left = random.below(5);
    const stream = new Readable({
      highWaterMark: 1,
      read() {
        if (left-- > 0) this.push(random.chance(40) ? entryLine(random) : random.bytes(1 + random.below(200)));
        else if (random.chance(60)) this.push(null);
        else if (random.chance(50)) this.destroy(new AgentError("EIO", "fuzz"));
        // Otherwise it stays open and silent.
      },
    });
    stream.on("error", () => undefined);
    const readable = Object.assign(stream, { streamId: ++this.#lastStreamId });
    this.#readables.push(readable);
    return readable;
  }

  openWritable(): GuestWritable {
    const random = this.#random;
    const stream = new Writable({
      write(_chunk, _encoding, done) {
        if (random.chance(10)) done(new AgentError("EPIPE", "fuzz"));
        else if (random.chance(80)) done();
        // Otherwise it takes no more.
      },
    });
    stream.on("error", () => undefined);
    const writable = Object.assign(stream, { streamId: ++this.#lastStreamId });
    this.#writables.push(writable);
    return writable;
  }

  onEvent(): void {
    // This guest has none.
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end();
  }

  /** After its client has gone, nothing of the guest's may wait for it. */
  assertReleased(): void {
    for (const readable of this.#readables) {
      const user = this.#users.get(readable.streamId);
      // Processes outlive their clients, with their output; and so may a call for as long as it is not answered.
      if (readable.destroyed || user?.method === "exec" || user?.isOpen === true) continue;
      assert.ok(readable.readableEnded, `a stream of ${user?.method ?? "no call"} is still held`);
    }
  }

  end(): void {
    const error = new AgentError("EIO", "the fuzzed guest has ended");
    for (const reject of [...this.#pending]) reject(error);
    for (const stream of [...this.#readables, ...this.#writables]) stream.destroy();
  }

  async #hang(signal: AbortSignal | undefined): Promise<never> {
    return new Promise((_resolve, reject) => {
      const settle = (error: Error): void => {
        this.#pending.delete(settle);
        reject(error);
      };
      this.#pending.add(settle);
      signal?.addEventListener("abort", () => settle(signal.reason as Error), { once: true });
    });
  }

  /** The real link destroys the streams of a call that fails. */
  #dropStreams(ids: number[]): void {
    for (const stream of [...this.#readables, ...this.#writables]) if (ids.includes(stream.streamId)) stream.destroy();
  }

  #answer(method: keyof AgentCalls): unknown {
    const random = this.#random;
    switch (method) {
      case "exec":
        return { pid: random.chance(80) ? ++this.#pid : 1 };
      case "wait":
        return { code: random.below(256), signal: random.chance(20) ? "SIGKILL" : null, oom: null };
      case "listening":
        return { ports: random.chance(50) ? [1 + random.below(65_535)] : [] };
      case "fs.readDir":
        return Array.from({ length: random.below(4) }, () => ({ name: randomName(random), type: random.pick(TYPES) }));
      case "fs.stat":
      case "fs.lstat":
      case "file.stat":
        return randomStat(random);
      case "fs.readLink":
      case "fs.realPath":
      case "fs.makeTemp":
        return `/${randomName(random)}`;
      case "fs.umask":
        return random.below(0o1000);
      case "fs.open":
        return { handle: random.below(5) };
      case "file.read":
        return {
          data: random.chance(20) ? null : random.chance(10) ? "*" : random.bytes(random.below(99)).toString("base64"),
        };
      case "file.write":
        return { written: random.below(99) };
      case "file.seek":
        return { position: random.below(99) };
      case "copy.send":
      case "copy.receive":
        return { entries: 1, bytes: 2, skipped: [{ path: "/x", reason: "fuzz" }] };
      case "stats":
        return {
          ...{ memoryTotal: 1, memoryAvailable: 1, processes: 1, oomKills: 0 },
          ...{ cpuMs: 1, diskTotal: 1, diskUsed: 1 },
        };
      default:
        return method === "dial" ? {} : null;
    }
  }
}

function randomName(random: SeededRandom): string {
  return random.pick(["a", "b.ts", "..", "x\u0000y", "\u202e", "é".repeat(40), "link"]);
}

function entryLine(random: SeededRandom): string {
  const name = randomName(random);
  const entry = { path: `/home/app/${name}`, name, type: random.pick(TYPES), depth: random.below(3) };
  return `${JSON.stringify(entry)}${random.chance(90) ? "\n" : ""}`;
}

function randomStat(random: SeededRandom): unknown {
  const big = (): number => (random.chance(10) ? 2 ** 60 : random.below(1000));
  const time = (): number => (random.chance(10) ? 1e300 : random.next());
  return {
    type: random.pick(TYPES),
    size: big(),
    mode: random.below(0o10000),
    dev: big(),
    ino: big(),
    nlink: 1,
    uid: 0,
    gid: 0,
    rdev: 0,
    blksize: 4096,
    blocks: big(),
    atime: time(),
    mtime: time(),
    ctime: time(),
    birthtime: time(),
  };
}
