/** Organisations whose sandboxes are rows in memory, with one fast guest behind all of them (bench/serve/fast-sandbox.ts). */
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import type { OrganisationRuntimes } from "../../src/runtime/organisations.ts";
import type { RpcHandshake } from "../../src/runtime/rpc-door.ts";
import type { Sandbox } from "../../src/runtime/runtime.ts";
import type { SandboxInfo, SandboxSpec } from "../../src/runtime/types.ts";
import { connectTarget } from "../../src/protocol/sandbox-target.ts";
import { FakeRuntime } from "../fake-runtime.ts";

export class SoakOrganisations implements OrganisationRuntimes {
  readonly #runtimes = new Map<string, SoakRuntime>();
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  async open(name: string): Promise<SoakRuntime> {
    const runtime = this.#runtimes.get(name) ?? new SoakRuntime(this.#socketPath);
    this.#runtimes.set(name, runtime);
    return runtime;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#runtimes.clear();
  }
}

/** Forgets what is over: the server is to be measured, not this. */
class SoakRuntime extends FakeRuntime {
  readonly #connections = new Map<string, Set<Duplex>>();

  constructor(socketPath: string) {
    super();
    this.rpc = async (id, handshake) => this.#connect(socketPath, id, handshake);
  }

  override record(): void {
    // Nobody asks what was called.
  }

  /** As a machine's start does, it takes a moment; and ids are of all organisations. */
  override async create(spec: SandboxSpec, options: Parameters<FakeRuntime["create"]>[1]): Promise<Sandbox> {
    this.now = Date.now();
    const sandbox = await super.create(spec, options);
    const digits = `${process.hrtime.bigint()}`.slice(-20).padStart(20, "0");
    Object.assign(sandbox.info, { id: `sbx_loc_${digits}` });
    Object.defineProperty(sandbox, "id", { value: sandbox.info.id });
    return sandbox;
  }

  override stop(info: SandboxInfo, reason: SandboxInfo["reason"]): SandboxInfo {
    const stopped = super.stop(info, reason);
    this.sandboxes = this.sandboxes.filter((other) => other !== info);
    // As a supervisor that ends hangs up on all.
    for (const socket of this.#connections.get(info.id) ?? []) socket.destroy();
    return stopped;
  }

  async #connect(socketPath: string, id: string, handshake: RpcHandshake): Promise<Duplex> {
    const socket = connect({ path: socketPath, allowHalfOpen: true });
    const open = this.#connections.get(id) ?? new Set();
    this.#connections.set(id, open.add(socket));
    socket.once("close", () => {
      open.delete(socket);
      if (open.size === 0) this.#connections.delete(id);
    });
    await new Promise<void>((resolve, reject) => void socket.once("connect", resolve).once("error", reject));
    const fields = handshake.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    const line = `GET ${connectTarget(id)} HTTP/1.1\r\nhost: sandbox\r\nconnection: Upgrade\r\nupgrade: websocket`;
    socket.write(`${line}\r\n${fields}\r\n`);
    return socket;
  }
}
