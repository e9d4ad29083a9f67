/** `sbx serve` as a process of its own, in a test's home. */
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import type { TestHome } from "./test-home.ts";

const START_DEADLINE_MS = 60_000;

/** What `sbx serve --json` prints. */
interface Announcement {
  url: string;
  token: string | null;
  ssh: SdkServer["ssh"] | null;
  gateway: SdkServer["gateway"] | null;
}

export class SdkServer implements AsyncDisposable {
  readonly url: string;
  /** The one that the first start makes. */
  readonly token: string | null;
  /** Where SSH is. */
  readonly ssh: { hostname: string; port: number; hostKey: string };
  /** Where servers of sandboxes are reached, and the certificate to trust. */
  readonly gateway: { domain: string; port: number; certificate: string | null };
  readonly #process: ChildProcessWithoutNullStreams;

  private constructor(process: ChildProcessWithoutNullStreams, { url, token, ssh, gateway }: Announcement) {
    this.#process = process;
    this.ssh = ssh ?? { hostname: "", port: 0, hostKey: "" };
    this.gateway = gateway ?? { domain: "", port: 0, certificate: null };
    this.url = url;
    this.token = token;
  }

  static async open(home: TestHome, args: readonly string[] = []): Promise<SdkServer> {
    const ports = ["--listen", "--ssh-listen"].filter((option) => !args.includes(option));
    const free = ports.flatMap((option) => [option, "127.0.0.1:0"]);
    const child = home.start(["serve", "--json", ...free, ...args]);
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)));
    const timer = setTimeout(() => child.kill("SIGKILL"), START_DEADLINE_MS);
    let line = "";
    for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
      line += String(chunk);
      if (line.includes("\n")) break;
    }
    clearTimeout(timer);
    if (!line.includes("\n")) throw new Error(`sbx serve did not start; it said: ${said}`);
    return new SdkServer(child, JSON.parse(line) as Announcement);
  }

  /** Ends it with a signal; returns its status, `null` where the signal itself ended it. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    const { exitCode, signalCode } = this.#process;
    if (exitCode !== null || signalCode !== null) return exitCode;
    this.#process.kill(signal);
    const [status] = (await once(this.#process, "exit")) as [number | null];
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGTERM");
  }
}
