/** What a test of an official SDK stands on: `sbx serve` in a home of its own, found as `sbx serve` says it is. */
import { SdkServer } from "./sdk-server.ts";
import { openTestHome, type TestHome } from "./test-home.ts";

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

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await this.home[Symbol.asyncDispose]();
  }
}
