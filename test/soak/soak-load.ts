/**
 * Many clients of the official SDK's at once, each with work of its own: every answer is checked against a nonce that only
 * it can have asked for, so one that is lost or somebody else's is found.
 */
import { randomBytes } from "node:crypto";
import { Client, Sandbox } from "@deno/sandbox";
import { WebSocket } from "ws";
import { seededRandom } from "../vm/support/seeded-random.ts";

export const ORGANISATIONS = ["local", "acme", "globex", "initech"] as const;

export interface SoakOptions {
  url: string;
  /** One for each organisation. */
  tokens: readonly string[];
  clients: number;
  seconds: number;
  seed: number;
  /** Sandboxes to connect to; each client makes its own if absent. */
  sandboxes?: readonly string[];
}

export interface SoakReport {
  operations: number;
  sandboxes: number;
  /** What was lost or mixed up, and what failed. */
  faults: string[];
}

type Work = (sandbox: Sandbox, nonce: string) => Promise<void>;

const WORKS: readonly Work[] = [
  async (sandbox, nonce) => expect(await sandbox.sh`echo ${nonce}`.text(), `${nonce}\n`),
  async (sandbox, nonce) => {
    const output = await sandbox.sh`yes ${nonce} | head -n 4000`.text();
    expect(output, `${nonce}\n`.repeat(4000));
  },
  async (sandbox, nonce) => {
    const file = `${nonce}.txt`;
    await sandbox.fs.writeTextFile(file, nonce);
    expect(await sandbox.fs.readTextFile(file), nonce);
    await sandbox.fs.remove(file);
  },
  async (sandbox, nonce) => {
    const [file, bytes] = [`${nonce}.bin`, Buffer.from(nonce.repeat(5000))];
    await sandbox.fs.writeFile(file, bytes);
    if (!bytes.equals(await sandbox.fs.readFile(file))) throw new Error(`${file} holds something else`);
    await sandbox.fs.remove(file);
  },
  async (sandbox, nonce) => {
    const child = await sandbox.spawn("cat", { stdin: "piped", stdout: "piped" });
    const writer = child.stdin?.getWriter();
    await writer?.write(new TextEncoder().encode(nonce));
    await writer?.close();
    expect((await child.output()).stdoutText ?? "", nonce);
  },
  async (sandbox, nonce) => {
    const all = await Promise.all(["a", "b", "c"].map(async (part) => sandbox.sh`echo ${nonce + part}`.text()));
    expect(all.join(""), ["a", "b", "c"].map((part) => `${nonce}${part}\n`).join(""));
  },
];

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const report: SoakReport = { operations: 0, sandboxes: 0, faults: [] };
  const end = performance.now() + options.seconds * 1000;
  const clients = Array.from({ length: options.clients }, async (_, index) => {
    const client = new SoakClient(options, index, report);
    while (performance.now() < end && report.faults.length < 100) await client.round(end);
  });
  await Promise.all(clients);
  return report;
}

class SoakClient {
  readonly #options: SoakOptions;
  readonly #report: SoakReport;
  readonly #random: () => number;
  readonly #index: number;
  readonly #token: string;

  constructor(options: SoakOptions, index: number, report: SoakReport) {
    this.#options = options;
    this.#report = report;
    this.#index = index;
    this.#random = seededRandom(options.seed + index * 7919);
    this.#token = options.tokens[index % options.tokens.length] ?? "";
  }

  /** A sandbox, some work in it, and one of the ways to part from it. */
  async round(end: number): Promise<void> {
    try {
      const { sandbox, isOwn } = await this.#open();
      for (let left = 2 + this.#below(6); left > 0 && performance.now() < end; left--) await this.#work(sandbox);
      if (isOwn) await this.#list(sandbox.id);
      await this.#part(sandbox, isOwn);
    } catch (error) {
      this.#report.faults.push(`client ${this.#index}: ${String(error)}`);
    }
  }

  async #open(): Promise<{ sandbox: Sandbox; isOwn: boolean }> {
    const shared = this.#options.sandboxes ?? [];
    const access = { token: this.#token, sandboxEndpoint: this.#options.url };
    if (shared.length > 0) {
      const id = shared[this.#below(shared.length)] ?? "";
      const sandbox = await Sandbox.connect({ id, ...access });
      expect(sandbox.id, id);
      return { sandbox, isOwn: false };
    }
    this.#report.sandboxes++;
    const labels = { client: String(this.#index) };
    const timeout = this.#below(2) === 0 ? ("5m" as const) : ("session" as const);
    return { sandbox: await Sandbox.create({ ...access, labels, timeout }), isOwn: true };
  }

  async #work(sandbox: Sandbox): Promise<void> {
    const nonce = `n${this.#index}-${randomBytes(8).toString("hex")}`;
    await WORKS[this.#below(WORKS.length)]?.(sandbox, nonce);
    this.#report.operations++;
  }

  /** Its own sandbox is in the list, and all others there are not somebody else's organisation's. */
  async #list(id: string): Promise<void> {
    const client = new Client({ token: this.#token, apiEndpoint: this.#options.url });
    const listed = await client.sandboxes.list();
    if (!listed.some((one) => one.id === id)) throw new Error(`${id} is not in the list`);
    const { length } = this.#options.tokens;
    const foreign = listed.filter(({ labels }) => Number(labels["client"]) % length !== this.#index % length);
    if (foreign.length > 0) throw new Error(`${foreign.length} sandboxes of other organisations are in the list`);
    this.#report.operations++;
  }

  async #part(sandbox: Sandbox, isOwn: boolean): Promise<void> {
    const way = isOwn ? this.#below(4) : 3;
    if (way === 0) await this.#vanish(sandbox);
    if (way === 1) await this.#comeBack(sandbox);
    if (way <= 2) await sandbox.kill();
    else await sandbox.close();
    // One that has a lifetime would outlive its client.
    if (way === 3 && isOwn) await this.#killIfThere(sandbox.id);
    this.#report.operations++;
  }

  /** A second connection that is cut off in the middle of what it asks for. */
  async #vanish({ id }: Sandbox): Promise<void> {
    const url = `${this.#options.url.replace("http", "ws")}/api/v3/sandbox/${id}/connect`;
    const socket = new WebSocket(url, { headers: { authorization: `Bearer ${this.#token}` } });
    socket.on("error", () => undefined);
    await new Promise((resolve) => void socket.once("open", resolve).once("close", resolve));
    // Its output is read to the end though nobody is there, and the guest is all sandboxes': it ends by itself.
    const params = { command: "sh", args: ["-c", "yes | head -n 20000"], stdout: "piped", stderr: "null" };
    socket.send(JSON.stringify({ jsonrpc: "2.0", id: 0, method: "spawn", params }), () => socket.terminate());
    await new Promise((resolve) => void socket.once("close", resolve));
  }

  async #comeBack({ id }: Sandbox): Promise<void> {
    const again = await Sandbox.connect({ id, token: this.#token, sandboxEndpoint: this.#options.url });
    expect(again.id, id);
    await this.#work(again);
    await again.close();
  }

  async #killIfThere(id: string): Promise<void> {
    const headers = { authorization: `Bearer ${this.#token}` };
    const { status } = await fetch(`${this.#options.url}/api/v3/sandbox/${id}`, { method: "DELETE", headers });
    if (status !== 204 && status !== 404) throw new Error(`the end of ${id} was answered with ${status}`);
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

function expect(actual: string, expected: string): void {
  if (actual === expected) return;
  throw new Error(`${JSON.stringify(actual.slice(0, 80))} instead of ${JSON.stringify(expected.slice(0, 80))}`);
}
