/** Linux as the guest of a network stack: see kernel-peer.py. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";

export type WriteStep = ["send", number] | ["pause", number] | ["end", 0] | ["reset", 0];

export interface ClientScript {
  host: string;
  port: number;
  /** Of the patterns that it sends and expects. */
  seed: number;
  peerSeed: number;
  write: WriteStep[];
  readSize?: number;
  /** How often it pauses after a read, 0 to 1. */
  readPause?: number;
  noDelay?: boolean;
  options?: ["SO_RCVBUF" | "SO_SNDBUF", number][];
}

export interface ClientResult {
  sent: number;
  received: number;
  /** It received a byte that nobody sent. */
  wrong: boolean;
  /** `end`, `reset`, or the error's name. */
  writeEnd: string | null;
  readEnd: string | null;
}

export interface Faults {
  drop?: number;
  repeat?: number;
  delay?: number;
  delayMs?: number;
}

/** A test's context, or what does the same. */
export interface TestCleanup {
  after(cleanup: () => unknown): unknown;
}

export interface KernelGuest {
  link: Socket;
  run(script: ClientScript): Promise<ClientResult>;
  setFaults(faults: Faults | null, seed: number): void;
}

const PATTERN_BYTES = 65_521;

/** The bytes that a seed stands for, as kernel-peer.py makes them. */
export function makePattern(seed: number): Buffer {
  const bytes = Buffer.alloc(PATTERN_BYTES);
  let state = (Math.imul(seed, 2_654_435_761) + 1) >>> 0;
  for (let at = 0; at < bytes.length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[at] = state >>> 16;
  }
  return bytes;
}

/** Why there can be no such guest here; undefined if there can. */
export function findObstacle(): string | undefined {
  try {
    accessSync("/dev/net/tun", constants.R_OK | constants.W_OK);
    return undefined;
  } catch {
    return "/dev/net/tun cannot be opened by this account";
  }
}

export async function startKernelGuest(t: TestCleanup): Promise<KernelGuest> {
  const directory = mkdtempSync(path.join(tmpdir(), "sbx-unit-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const socketPath = path.join(directory, "link.sock");
  const server = createServer({ pauseOnConnect: true });
  server.listen(socketPath);
  await once(server, "listening");
  const script = path.join(import.meta.dirname, "kernel-peer.py");
  const child = spawn("unshare", ["-Urn", "python3", script, socketPath], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await exited;
    server.close();
  });
  const [link] = (await Promise.race([
    once(server, "connection"),
    exited.then(() => Promise.reject(new Error("the kernel's end did not start"))),
  ])) as [Socket];
  return { link, ...follow(child) };
}

function follow(child: ChildProcess): Omit<KernelGuest, "link"> {
  const waiting = new Map<number, (result: ClientResult) => void>();
  let lastId = 0;
  const output = child.stdout as Duplex | null;
  const input = child.stdin;
  if (output === null || input === null) throw new Error("no pipes");
  createInterface({ input: output }).on("line", (line) => {
    const { id, ...result } = JSON.parse(line) as ClientResult & { id?: number };
    if (id === undefined) return;
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  return {
    run: (script) =>
      new Promise((resolve) => {
        const id = ++lastId;
        waiting.set(id, resolve);
        input.write(`${JSON.stringify({ id, ...script })}\n`);
      }),
    setFaults: (faults, seed) => input.write(`${JSON.stringify({ faults, seed })}\n`),
  };
}
