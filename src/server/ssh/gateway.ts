/**
 * SSH to all sandboxes at one address: the user name is the secret that says which. What such a client may do is the
 * sandbox's affair (docs/ssh.md); the server sees to who gets in, how many, and for how long.
 */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { SbxError, type ErrorCode } from "../../runtime/errors.ts";
import type { HostKey } from "../../ssh/host-key.ts";
import { ApiError } from "../api-error.ts";
import { findRunning, findSandbox } from "../organisations/find-exactly.ts";
import type { Tenants } from "../organisations/tenants.ts";
import { failureText, type ServerLog } from "../server-log.ts";
import type { Caller } from "../tokens/authenticate.ts";
import type { TokenStore } from "../tokens/token-store.ts";
import { ClientConnection } from "./client-connection.ts";
import { CredentialStore, type CredentialRecord, type SandboxPlace } from "./credential-store.ts";
import { openHostKey } from "./host-key.ts";
import * as limits from "./limits.ts";
import type { SshDoor, SshLogin } from "./ssh-door.ts";
import { Strangers } from "./strangers.ts";

export interface SshGatewaySettings {
  /** Of the server's records, which exists. */
  directory: string;
  listen: { host: string; port: number };
  /** Whether a free port is as good as the one in `listen`. */
  orFreePort: boolean;
  /** What clients are told, where that is something else. */
  publicHost: string | null;
  publicPort: number | null;
  /** One of the server's own where it is null. */
  hostKeyPath: string | null;
  /** `ms`, for tests. */
  loginMs?: number;
  refusalMs?: number;
}

export interface SshGatewayOptions extends SshGatewaySettings {
  tenants: Tenants;
  tokens: TokenStore;
  log: ServerLog;
  /** Epoch `ms`. */
  now: () => number;
}

/** Failures of which who has the name is told. All others are answered as a name that there is not. */
const TOLD: ReadonlySet<ErrorCode> = new Set(["sandbox_paused", "insufficient_resources", "guest_error"]);

interface Opened {
  record: CredentialRecord;
  upstream: Duplex;
}

interface Guest {
  connection: ClientConnection;
  credential: CredentialRecord;
}

export class SshGateway implements SshDoor, AsyncDisposable {
  readonly hostKey: HostKey;
  readonly #options: SshGatewayOptions;
  readonly #credentials: CredentialStore;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #strangers = new Strangers();
  readonly #guests = new Set<Guest>();
  /** Connections of each name, those included that are being opened. */
  readonly #uses = new Map<string, number>();
  readonly #timers: NodeJS.Timeout[];
  #port = 0;
  #isOver = false;

  private constructor(options: SshGatewayOptions, hostKey: HostKey, credentials: CredentialStore) {
    this.#options = options;
    this.hostKey = hostKey;
    this.#credentials = credentials;
    // A client that has said all is not hung up on before it has been told all.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
    this.#timers = [
      setInterval(() => this.#guardedSweep(), limits.SWEEP_MS).unref(),
      setInterval(() => void this.#prune(), limits.PRUNE_MS).unref(),
    ];
  }

  /** Listens. @throws SbxError `port_in_use`, `usage`, `config_invalid` for a host key that is none */
  static async open(options: SshGatewayOptions): Promise<SshGateway> {
    const hostKey = await openHostKey(options.directory, options.hostKeyPath);
    const gateway = new SshGateway(options, hostKey, CredentialStore.open(options.directory));
    try {
      await gateway.#listen();
    } catch (error) {
      await gateway[Symbol.asyncDispose]();
      throw error;
    }
    void gateway.#prune();
    return gateway;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  get address(): { hostname: string; port: number } {
    const { publicHost, publicPort, listen } = this.#options;
    return { hostname: publicHost ?? listen.host, port: publicPort ?? this.#port };
  }

  mint({ organisation, tokenId }: Caller, sandbox: string): SshLogin {
    const credentials = this.#credentials;
    if (credentials.count({ organisation, sandbox }) >= limits.MAX_CREDENTIALS_OF_SANDBOX) {
      const most = limits.MAX_CREDENTIALS_OF_SANDBOX;
      throw new ApiError(
        "QUOTA_EXCEEDED",
        `a sandbox has at most ${most} user names for SSH, each good for all its life`,
      );
    }
    const username = credentials.create({ organisation, sandbox, tokenId }, this.#options.now());
    return { ...this.address, username };
  }

  revoke(place: SandboxPlace): void {
    this.#credentials.revoke(place);
    this.#sweep();
  }

  /** Takes no new clients, tells those that there are, and hangs up. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const timer of this.#timers) clearInterval(timer);
    const closed = new Promise((resolve) => {
      this.#server.close(resolve);
    });
    this.#strangers.dropAll();
    for (const { connection } of [...this.#guests]) connection.disconnect("the server is going away");
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, limits.GOODBYE_MS);
    await closed;
    clearTimeout(timer);
    this.#credentials[Symbol.dispose]();
  }

  #accept(socket: Socket): void {
    const { loginMs = limits.LOGIN_MS, refusalMs = limits.REFUSAL_MS, log } = this.#options;
    if (this.#sockets.size >= limits.MAX_CONNECTIONS && !this.#strangers.makeRoom()) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.setNoDelay(true).setKeepAlive(true, limits.KEEP_ALIVE_MS);
    const begun = performance.now();
    const address = socket.remoteAddress ?? "";
    let guest: Guest | undefined;
    let credential: CredentialRecord | undefined;
    const connection = new ClientConnection({
      ...{ socket, hostKey: this.hostKey.privateKey, loginMs, refusalMs },
      open: async (username) => {
        const opened = await this.#open(username);
        credential = opened?.record;
        return opened?.upstream;
      },
      onJoined: () => {
        this.#strangers.remove(stranger);
        if (credential === undefined) return;
        guest = { connection, credential };
        this.#guests.add(guest);
        log.write("info", "ssh.joined", { address, ...facts(credential) });
      },
      onEnd: (error) => {
        this.#strangers.remove(stranger);
        const ms = Math.round(performance.now() - begun);
        if (guest === undefined) {
          log.write("info", "ssh.refused", { address, ms, error: error?.message });
          return;
        }
        this.#guests.delete(guest);
        log.write("info", "ssh.left", { address, ms, ...facts(guest.credential), error: error?.message });
      },
    });
    const stranger = { address, drop: () => connection.destroy("others wanted in") };
    this.#strangers.add(stranger);
  }

  /** @throws SbxError that whoever has the name is told */
  async #open(username: string): Promise<Opened | undefined> {
    const { tokens, log, now } = this.#options;
    try {
      const record = this.#credentials.find(username);
      if (record === undefined || !tokens.holds(record.tokenId, now())) return undefined;
      return { record, upstream: await this.#openCounted(record) };
    } catch (error) {
      if (error instanceof SbxError && TOLD.has(error.code)) throw error;
      if (!isGone(error)) log.write("error", "ssh.failure", { error: failureText(error) });
      return undefined;
    }
  }

  /** It counts until it is closed, from before anything waits. */
  async #openCounted({ id: credentialId, organisation, sandbox }: CredentialRecord): Promise<Duplex> {
    const uses = this.#uses.get(credentialId) ?? 0;
    if (uses >= limits.MAX_CONNECTIONS_OF_CREDENTIAL) {
      throw new SbxError("insufficient_resources", "there are as many connections with this user name as it may have");
    }
    this.#uses.set(credentialId, uses + 1);
    const release = (): void => {
      const left = (this.#uses.get(credentialId) ?? 1) - 1;
      if (left > 0) this.#uses.set(credentialId, left);
      else this.#uses.delete(credentialId);
    };
    try {
      const { runtime } = await this.#options.tenants.open(organisation);
      const { id } = await findRunning(runtime, sandbox);
      return (await runtime.ssh.openMessages(id)).once("close", release);
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Hangs up on those whose name was taken back, or whose token does not hold any more. */
  #sweep(): void {
    const { tokens, now } = this.#options;
    const verdicts = new Map<string, boolean>();
    for (const { connection, credential } of [...this.#guests]) {
      const { id, tokenId } = credential;
      const holds = verdicts.get(id) ?? (this.#credentials.holds(id) && tokens.holds(tokenId, now()));
      verdicts.set(id, holds);
      if (!holds) connection.disconnect("the user name does not hold any more");
    }
  }

  #guardedSweep(): void {
    try {
      this.#sweep();
    } catch (error) {
      this.#options.log.write("error", "ssh.failure", { error: failureText(error) });
    }
  }

  /** Forgets the names of sandboxes that are over. They open nothing: this is for the database's sake. */
  async #prune(): Promise<void> {
    try {
      for (const place of this.#credentials.places()) {
        const isUsed = await this.#isUsed(place);
        if (this.#isOver) return;
        if (!isUsed) this.#credentials.revoke(place);
      }
    } catch (error) {
      if (!this.#isOver) this.#options.log.write("error", "ssh.failure", { error: failureText(error) });
    }
  }

  async #isUsed({ organisation, sandbox }: SandboxPlace): Promise<boolean> {
    const { runtime } = await this.#options.tenants.open(organisation);
    try {
      const { status } = await findSandbox(runtime, sandbox);
      return status !== "stopped" && status !== "failed";
    } catch (error) {
      if (isGone(error)) return false;
      throw error;
    }
  }

  async #listen(): Promise<void> {
    const { listen, orFreePort } = this.#options;
    try {
      await listenAt(this.#server, listen.host, listen.port);
    } catch (cause) {
      const isTaken = (cause as NodeJS.ErrnoException).code === "EADDRINUSE";
      if (!isTaken || !orFreePort) {
        throw new SbxError(isTaken ? "port_in_use" : "usage", `SSH cannot listen on ${listen.host}:${listen.port}`, {
          cause,
          hint: "choose another one: sbx serve --ssh-listen 127.0.0.1:0",
        });
      }
      await listenAt(this.#server, listen.host, 0);
    }
    this.#port = (this.#server.address() as AddressInfo).port;
  }
}

async function listenAt(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function facts({ organisation, sandbox, id }: CredentialRecord): Readonly<Record<string, string>> {
  return { organisation, sandbox, credential: id };
}

/** Whether the sandbox is over, or never was. */
function isGone(error: unknown): boolean {
  if (error instanceof ApiError) return error.code === "SANDBOX_NOT_FOUND";
  const codes: readonly ErrorCode[] = ["sandbox_not_found", "sandbox_stopped", "supervisor_lost"];
  return error instanceof SbxError && codes.includes(error.code);
}
