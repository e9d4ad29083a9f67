/** What a test of an official SDK stands on: `sbx serve` in a home of its own, found as `sbx serve` says it is. */
import path from "node:path";
import { PROJECT_PATH, runHost, type Outcome } from "./program.ts";
import { SdkServer } from "./sdk-server.ts";
import { openTestHome, type TestHome } from "./test-home.ts";

/** What `sbx serve` has Node load where the machine's resolver knows no names below localhost. */
const LOCALHOST_NAMES = path.join(PROJECT_PATH, "bin", "localhost-names.cjs");

export class SdkBench implements AsyncDisposable {
  readonly home: TestHome;
  readonly server: SdkServer;

  private constructor(home: TestHome, server: SdkServer) {
    this.home = home;
    this.server = server;
  }

  /** Sets the SDKs' variables of this process. @param args of `sbx serve` */
  static async open(args: readonly string[] = []): Promise<SdkBench> {
    const home = await openTestHome();
    const bench = new SdkBench(home, await SdkServer.open(home, args));
    Object.assign(process.env, bench.env);
    return bench;
  }

  /** The variables. */
  get env(): Record<string, string> {
    const { url, token } = this.server;
    return { DENO_SANDBOX_ENDPOINT: url, DENO_DEPLOY_ENDPOINT: url, DENO_DEPLOY_TOKEN: token ?? "" };
  }

  /** Runs a module of JavaScript in a process of its own, as a user of the SDK has set it up for this server. */
  async program(source: string): Promise<Outcome> {
    const { certificate } = this.server.gateway;
    const env = {
      ...{ ...process.env, NODE_TEST_CONTEXT: undefined, ...this.env },
      ...(certificate === null
        ? {}
        : { NODE_EXTRA_CA_CERTS: certificate, NODE_OPTIONS: `--require=${LOCALHOST_NAMES}` }),
    };
    return runHost([process.execPath, "--input-type=module", "-e", source], { env, cwd: PROJECT_PATH });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await this.home[Symbol.asyncDispose]();
  }
}
