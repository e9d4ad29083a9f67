/**
 * SSH to all sandboxes at one address: the user name is the secret that says which. What such a client may do is the
 * sandbox's affair (docs/ssh.md); the server sees to who gets in, how many, and for how long.
 */
import { hostname } from "node:os";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { SbxError } from "../../runtime/errors.ts";
import type { HostKey } from "../../ssh/host-key.ts";
import { ApiError } from "../api-error.ts";
import type { Tenants } from "../organisations/tenants.ts";
import { failureText, type ServerLog } from "../server-log.ts";
import type { Caller } from "../tokens/authenticate.ts";
import type { TokenStore } from "../tokens/token-store.ts";
import { ClientConnection } from "./client-connection.ts";
import { CredentialStore, type CredentialRecord, type SandboxPlace } from "./credential-store.ts";
import { openHostKey } from "./host-key.ts";
import * as limits from "./limits.ts";
import { Logins } from "./logins.ts";
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
  /** Other limits, `ms` and connections, for tests. */
  loginMs?: number;
  refusalMs?: number;
  maxConnections?: number;
}

export interface SshGatewayOptions extends SshGatewaySettings {
  tenants: Tenants;
  tokens: TokenStore;
  log: ServerLog;
  /** Epoch `ms`. */
  now: () => number;
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
  readonly #logins: Logins;
  readonly #timers: NodeJS.Timeout[];
  readonly #over = new AbortController();
  #port = 0;

  private constructor(options: SshGatewayOptions, hostKey: HostKey, credentials: CredentialStore) {
    this.#options = options;
    this.hostKey = hostKey;
    this.#credentials = credentials;
    this.#logins = new Logins({ ...options, credentials });
    // A client that has said all is not hung up on before it has been told all.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
    this.#timers = [
      setInterval(() => void this.#guarded(() => this.#sweep()), limits.SWEEP_MS).unref(),
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
    const own = /^(?:0\.0\.0\.0|::)$/.test(listen.host) ? hostname() : listen.host;
    return { hostname: publicHost ?? own, port: publicPort ?? this.#port };
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
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    for (const timer of this.#timers) clearInterval(timer);
    const closed = new Promise((resolve) => {
      this.#server.close(resolve);
    });
    const why = "the server is going away";
    this.#strangers.dropAll(why);
    for (const { connection } of [...this.#guests]) connection.disconnect(why);
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, limits.GOODBYE_MS);
    await closed;
    clearTimeout(timer);
    this.#credentials[Symbol.dispose]();
  }

  async #prune(): Promise<void> {
    await this.#guarded(async () => this.#logins.prune(this.#over.signal));
  }

  #accept(socket: Socket): void {
    const { loginMs = limits.LOGIN_MS, refusalMs = limits.REFUSAL_MS, log } = this.#options;
    const { maxConnections = limits.MAX_CONNECTIONS } = this.#options;
    if (this.#sockets.size >= maxConnections && !this.#strangers.makeRoom()) {
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
        const opened = await this.#logins.open(username);
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
    const stranger = { address, drop: (why: string) => connection.destroy(why) };
    this.#strangers.add(stranger);
  }

  /** Hangs up on those whose name was taken back, or whose token does not hold any more. */
  #sweep(): void {
    const verdicts = new Map<string, boolean>();
    for (const { connection, credential } of [...this.#guests]) {
      const holds = verdicts.get(credential.id) ?? this.#logins.holds(credential);
      verdicts.set(credential.id, holds);
      if (!holds) connection.disconnect("the user name does not hold any more");
    }
  }

  /** Runs what nobody waits for. */
  async #guarded(work: () => void | Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!this.#over.signal.aborted) this.#options.log.write("error", "ssh.failure", { error: failureText(error) });
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
    // A connection that could not be taken (no descriptors left) is that client's trouble.
    this.#server.on("error", () => undefined);
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
