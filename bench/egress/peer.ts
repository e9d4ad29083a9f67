/**
 * The benchmarks' own server and client (bench/egress/peer, Go): one static program that runs on the host and in guests,
 * so that both sides of a comparison do the same work in the same words.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { z } from "zod";

/** Name that the server's certificate is for. */
export const SERVER_NAME = "bench.test";
const MAX_WORDS = 2000;

const portsSchema = z.object({ raw: z.number(), http: z.number(), https: z.number(), dns: z.number() });

export type PeerPorts = z.infer<typeof portsSchema>;

/** The server on the host's loopback. */
export interface PeerServer extends AsyncDisposable {
  readonly ports: PeerPorts;
  /** Certificate of the authority that its own is from. */
  readonly caPath: string;
  /** The program, for guests. */
  readonly programPath: string;
}

/** Where a connection goes and what is asked there; the words of the program's `target`. */
export interface PeerTarget {
  address: string;
  dns?: string;
  via?: string;
  name?: string;
  host?: string;
  ca?: string;
  plain?: boolean;
  path?: string;
  headers?: Record<string, string>;
}

export type PeerJob =
  | ({ kind: "download" | "upload" | "http-download" | "http-upload"; bytes: number } & PeerTarget)
  | ({ kind: "connect" } & PeerTarget)
  | ({ kind: "hold"; count: number } & PeerTarget)
  | ({ kind: "load"; connections: number; seconds: number } & PeerTarget)
  | ({ kind: "latency"; count: number; direct: PeerTarget } & PeerTarget)
  | { kind: "ping" | "release" };

/** Builds the program and starts the server. @throws Error if there is no Go */
export async function servePeer(directory: string, log: (message: string) => void): Promise<PeerServer> {
  mkdirSync(directory, { recursive: true });
  const programPath = path.join(directory, "peer");
  log("building the client and server of the network rows");
  try {
    execFileSync("go", ["build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o", programPath, "."], {
      cwd: path.join(import.meta.dirname, "peer"),
      env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "", GOWORK: "off" },
      stdio: ["ignore", "ignore", "inherit"],
    });
  } catch (cause) {
    throw new Error("the network rows need Go 1.22 or newer on PATH, as the build does", { cause });
  }
  const child = spawn(programPath, ["serve", directory], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done === true) throw new Error("the benchmarks' server did not start");
  return {
    ports: portsSchema.parse(JSON.parse(first.value)),
    caPath: path.join(directory, "ca.pem"),
    programPath,
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await exited;
    },
  };
}

interface ClientStreams {
  stdin: Writable;
  stdout: Readable;
  stderr: Readable;
}

/** One client process, here or in a guest, that does one job after the other. */
export class PeerClient implements AsyncDisposable {
  readonly #stdin: Writable;
  readonly #lines: AsyncIterator<string>;
  readonly #release: () => Promise<void>;
  #words = "";

  /** @param release ends what the process was started with */
  constructor({ stdin, stdout, stderr }: ClientStreams, release: () => Promise<void> = async () => undefined) {
    this.#stdin = stdin;
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
    this.#release = release;
    stderr.setEncoding("utf8").on("data", (text: string) => (this.#words = (this.#words + text).slice(-MAX_WORDS)));
  }

  /** @throws Error with what the client says went wrong */
  async run<T>(job: PeerJob, schema: z.ZodType<T>): Promise<T> {
    this.#stdin.write(`${JSON.stringify(job)}\n`);
    const line = await this.#lines.next();
    if (line.done === true) throw new Error(`the client of the network rows has ended: ${this.#words}`);
    const answer = JSON.parse(line.value) as unknown;
    const failed = z.object({ error: z.string() }).safeParse(answer);
    if (failed.success) throw new Error(`${job.kind}: ${failed.data.error}`);
    return schema.parse(answer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stdin.end();
    await this.#release();
  }
}

/** A client on the host itself. */
export function startHostClient(programPath: string): PeerClient {
  const child = spawn(programPath, ["client"], { stdio: ["pipe", "pipe", "pipe"] });
  const exited = once(child, "exit");
  return new PeerClient(child, async () => {
    await exited;
  });
}

const milliseconds = z.number().nonnegative();
const quantilesSchema = z.object({ p50: milliseconds, p99: milliseconds, max: milliseconds });

/** What the jobs answer. */
export const RESULT = {
  done: z.object({ ok: z.literal(true) }),
  transfer: z.object({ ms: milliseconds, bytes: z.number() }),
  connect: z.object({
    ms: milliseconds,
    lookup: milliseconds,
    connect: milliseconds,
    tls: milliseconds,
    get: milliseconds,
  }),
  hold: z.object({ ms: milliseconds, held: z.number() }),
  load: z.object({ requests: z.number(), perSecond: z.number(), latency: quantilesSchema }),
  latency: z.object({ direct: quantilesSchema, through: quantilesSchema }),
} as const;

export type ConnectSteps = z.infer<typeof RESULT.connect>;
