/**
 * What a test of the boundary stands in: a closed network with names, an authority and a sniffer of its own, and an sbx
 * with a home of its own. Runs only where scripts/closed-network.mjs has made one.
 */
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { openTestHome, type TestHome } from "../../vm/support/test-home.ts";
import { EchoServer, type EchoOptions } from "./echo-server.ts";
import { NameServer } from "./names.ts";
import { Sniffer } from "./sniffer.ts";
import { TestAuthority } from "./test-authority.ts";

export class World implements AsyncDisposable {
  readonly authority = new TestAuthority();
  readonly names: NameServer;
  readonly home: TestHome;
  readonly sniffer: Sniffer;
  /** What a guest tries to get out. Letters and digits that no encoding changes. */
  readonly canary: string;
  /** The value of `API_KEY`: what nothing but an approved host may ever see. */
  readonly secret = `sk-live/${randomBytes(9).toString("base64")}+"'&=%${randomBytes(9).toString("hex")}`;
  /** The authority's certificate, for `--ca-file`. */
  readonly caFile: string;
  readonly #stack = new AsyncDisposableStack();

  private constructor(home: TestHome, names: NameServer, sniffer: Sniffer, canary: string) {
    this.home = home;
    this.names = names;
    this.sniffer = sniffer;
    this.canary = canary;
    this.caFile = home.scratch("test-root.pem");
  }

  static async open(): Promise<World> {
    if (process.env.SBX_TEST_CLOSED_NETWORK !== "1") {
      throw new Error("run this by: npm test -- boundary, or: node scripts/closed-network.mjs node --test FILE");
    }
    const canary = `Canary${randomBytes(12).toString("hex")}`;
    const stack = new AsyncDisposableStack();
    const names = stack.use(await NameServer.start());
    const sniffer = stack.use(await Sniffer.start(canary));
    const home = stack.use(await openTestHome());
    const world = new World(home, names, sniffer, canary);
    world.#stack.use(stack);
    // Where --secret finds a value that is stored nowhere.
    home.env.API_KEY = world.secret;
    await writeFile(world.caFile, world.authority.pem);
    return world;
  }

  /** A server of HTTPS under a name, which then resolves to its address. Ends with the world. */
  async https(name: string, address: string, options: Partial<EchoOptions> = {}): Promise<EchoServer> {
    this.names.set(name, address);
    return this.serve({ address, port: 443, identity: this.authority.identity(name), ...options });
  }

  async serve(options: EchoOptions): Promise<EchoServer> {
    return this.#stack.use(await EchoServer.start(options));
  }

  /** Something that ends with the world. */
  use<T extends AsyncDisposable | Disposable>(item: T): T {
    return this.#stack.use(item);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
