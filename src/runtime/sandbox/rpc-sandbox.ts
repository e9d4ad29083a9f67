/**
 * A sandbox over one RPC connection: the handle that both runtimes give out, the local one over the supervisor's
 * socket, a remote one over a control plane.
 */
import type { Duplex } from "node:stream";
import { SbxError } from "../errors.ts";
import type { GuestFiles } from "../files.ts";
import type { CallOptions, CopyOptions, CopyReport, ExecSession, Sandbox, TunnelTarget } from "../runtime.ts";
import type { ExecSpec, SandboxInfo } from "../types.ts";
import type { CopyEnd } from "./copy-ends.ts";
import { startExec, startInBackground } from "./exec-session.ts";
import { RpcGuestFiles } from "./guest-files.ts";
import { guestError } from "./guest-errors.ts";
import { connectRpc, type ConnectOptions, type RpcClient } from "./rpc-client.ts";

export interface RpcSandboxOptions {
  client: RpcClient;
  info: SandboxInfo;
  /** Called once, when the handle is disposed and the connection is closed. */
  onDispose?: () => Promise<void>;
  /**
   * Told each directory on the host that incomplete files of a download are in, before there are any. Whoever is
   * killed leaves it behind; `removeStaging` of copy/staging takes it away again. What is returned is disposed when the
   * directory is gone.
   */
  onStaging?: (path: string) => Disposable;
  /** The same for who has to open something first, which is done for the length of a download. */
  openStaging?: () => Promise<StagingRecords>;
}

export interface StagingRecords extends Disposable {
  record(path: string): Disposable;
}

/**
 * Connects to a sandbox and, unless the caller knows, asks what it is.
 *
 * @throws SbxError `supervisor_lost`, `connection_closed`, `aborted`, or what the server's refusal says
 */
export async function openRpcSandbox(
  options: ConnectOptions & Omit<RpcSandboxOptions, "client" | "info"> & { info?: SandboxInfo },
): Promise<RpcSandbox> {
  const client = await connectRpc(options);
  try {
    const info = options.info ?? (await client.call("sbx.info", {}, { signal: options.signal }));
    return new RpcSandbox({ ...options, client, info });
  } catch (error) {
    await client.close();
    throw guestError(error, "asking the sandbox what it is");
  }
}

export class RpcSandbox implements Sandbox {
  readonly id: string;
  readonly info: SandboxInfo;
  readonly closed: Promise<Error | undefined>;
  readonly files: GuestFiles;
  readonly #client: RpcClient;
  readonly #options: RpcSandboxOptions;
  #disposed: Promise<void> | undefined;

  constructor(options: RpcSandboxOptions) {
    this.#options = options;
    this.#client = options.client;
    this.info = options.info;
    this.id = options.info.id;
    this.closed = options.client.closed;
    this.files = new RpcGuestFiles(options.client);
  }

  async exec(spec: ExecSpec, options: CallOptions = {}): Promise<ExecSession> {
    return startExec(this.#client, spec, this.id, options.signal);
  }

  async start(spec: ExecSpec, options: CallOptions = {}): Promise<number> {
    return startInBackground(this.#client, spec, this.id, options.signal);
  }

  async setEnv(env: Record<string, string>, options: CallOptions = {}): Promise<void> {
    const { signal } = options;
    const calls = Object.entries(env).map(([key, value]) => this.#client.call("envSet", { key, value }, { signal }));
    try {
      await Promise.all(calls);
    } catch (error) {
      throw guestError(error, "setting the environment");
    }
  }

  async upload(sources: string[], destination: string, options: CopyOptions = {}): Promise<CopyReport> {
    const { uploadFiles } = await import("./copy-files.ts");
    return uploadFiles(this.#copyEnd, sources, destination, options);
  }

  async download(sources: string[], destination: string, options: CopyOptions = {}): Promise<CopyReport> {
    const { downloadFiles } = await import("./copy-files.ts");
    const { onStaging: record, openStaging } = this.#options;
    using opened = await openStaging?.();
    using records = new DisposableStack();
    const onStaging = (path: string): void => {
      records.use(opened === undefined ? record?.(path) : opened.record(path));
    };
    return await downloadFiles(this.#copyEnd, sources, destination, options, onStaging);
  }

  async transfer(
    sources: string[],
    target: Sandbox,
    destination: string,
    options: CopyOptions = {},
  ): Promise<CopyReport> {
    if (!(target instanceof RpcSandbox)) {
      throw new SbxError("unsupported", `sandbox ${target.id} cannot take a copy from another sandbox`);
    }
    const { transferFiles } = await import("./copy-files.ts");
    return transferFiles(this.#copyEnd, sources, target.#copyEnd, destination, options);
  }

  async openTunnel(target: TunnelTarget, options: CallOptions = {}): Promise<Duplex> {
    const client = this.#client;
    const { signal } = options;
    try {
      return await client.openDuplex(async (stdinStreamId) => {
        const onLate = (late: { streamId: number }): void => client.refuseStream(late.streamId);
        return (await client.call("sbx.connect", { ...target, stdinStreamId }, { signal, onLate })).streamId;
      });
    } catch (error) {
      throw guestError(error, "port" in target ? `connecting to port ${target.port}` : `connecting to ${target.path}`);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  get #copyEnd(): CopyEnd {
    return { client: this.#client, id: this.id };
  }

  async #dispose(): Promise<void> {
    await this.#client.close();
    await this.#options.onDispose?.();
  }
}
