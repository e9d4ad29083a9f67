/** Drives guest/client.py in a sandbox: a program that makes one request after the other without being started anew. */
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";
import type { TestHome } from "../../vm/support/test-home.ts";

/** The program itself. */
export const CLIENT_PATH = path.join(import.meta.dirname, "..", "guest", "client.py");

export interface RequestOptions {
  method?: string;
  /** `$NAME` in a value, in the body and in the URL's query becomes that variable of the guest's. */
  headers?: Record<string, string>;
  body?: string;
  /** What is dialled in place of the URL's host. */
  address?: string;
  /** SNI in place of the URL's host. */
  serverName?: string;
  /** How long the guest waits for each step, seconds. */
  timeout?: number;
  /** Between two reads of the body, seconds. */
  pause?: number;
  /** Of the body that is read, bytes. */
  atMost?: number;
}

export interface GuestAnswer {
  status?: number;
  headers?: Record<string, string>;
  /** The first 64 KiB. */
  body?: string;
  bytes?: number;
  /** What the program saw go wrong: a Python exception's name, `tls REASON` or `gaierror NUMBER`. */
  error?: string;
  stage?: "connect" | "head" | "body";
}

/** What sbx answers in place of an upstream. */
export interface Refused {
  error: string;
  message: string;
  rule?: string | null;
  fix?: string;
}

type Reply = Record<string, unknown> & { id: number; fault?: string };

export class GuestClient implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting = new Map<number, PromiseWithResolvers<Reply>>();
  #next = 1;
  #stderr = "";

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    child.stdin.on("error", () => undefined); // the sandbox may be gone
    child.stderr.setEncoding("utf8").on("data", (text: string) => (this.#stderr += text));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const reply = JSON.parse(line) as Reply;
      this.#waiting.get(reply.id)?.resolve(reply);
      this.#waiting.delete(reply.id);
    });
    child.once("close", (code) => {
      const error = new Error(`the client in the guest ended with ${code}: ${this.#stderr}`);
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    });
  }

  /** @param words before the command, such as `--user root` */
  static async start(home: TestHome, box: string, ...words: string[]): Promise<GuestClient> {
    await home.must(["cp", CLIENT_PATH, `${box}:/tmp/client.py`]);
    return GuestClient.startWith(home, ["exec", ...words, box, "--", "python3", "/tmp/client.py"]);
  }

  /** @param args that start the client some other way */
  static async startWith(home: TestHome, args: readonly string[]): Promise<GuestClient> {
    const client = new GuestClient(home.start(args));
    await client.#reply(0);
    return client;
  }

  async request(url: string, options: RequestOptions = {}): Promise<GuestAnswer> {
    return this.ask("request", { url, ...options });
  }

  /** A request that sbx must have answered itself. */
  async refused(url: string, options: RequestOptions = {}): Promise<Refused & { status: number | undefined }> {
    const { status, body = "", ...rest } = await this.request(url, options);
    try {
      return { ...(JSON.parse(body) as Refused), status };
    } catch {
      throw new Error(`${url} was not refused by sbx: ${JSON.stringify({ status, body, ...rest })}`);
    }
  }

  async ask<T = Record<string, unknown>>(op: string, order: Record<string, unknown> = {}): Promise<T> {
    const id = this.#next++;
    const reply = this.#reply(id);
    this.#child.stdin.write(`${JSON.stringify({ ...order, op, id })}\n`);
    const { fault, id: _, ...answer } = await reply;
    if (fault !== undefined) throw new Error(`the client in the guest failed at ${op}: ${fault}`);
    return answer as T;
  }

  /** What `sbx run` or `sbx exec` said beside the program's output. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Ends the program in the guest, as its end of input does. @returns exit status of the command */
  async end(): Promise<number | null> {
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    const closed = new Promise<void>((resolve) => this.#child.once("close", () => resolve()));
    this.#child.stdin.end();
    await closed;
    return this.#child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#child.exitCode !== null || this.#child.signalCode !== null;
    const over = closed
      ? Promise.resolve()
      : new Promise<void>((resolve) => this.#child.once("close", () => resolve()));
    this.#child.kill("SIGKILL");
    await over;
  }

  #reply(id: number): Promise<Reply> {
    const reply = Promise.withResolvers<Reply>();
    this.#waiting.set(id, reply);
    return reply.promise;
  }
}
