/** From a user name to the sandbox that it opens, and how often it is open. */
import { finished, type Duplex } from "node:stream";
import { SbxError, type ErrorCode } from "../../runtime/errors.ts";
import { ApiError } from "../api-error.ts";
import { findRunning, findSandbox } from "../organisations/find-exactly.ts";
import type { Tenants } from "../organisations/tenants.ts";
import { failureText, type ServerLog } from "../server-log.ts";
import type { TokenStore } from "../tokens/token-store.ts";
import type { CredentialRecord, CredentialStore, SandboxPlace } from "./credential-store.ts";
import { MAX_CONNECTIONS_OF_CREDENTIAL } from "./limits.ts";

/** Failures of which who has the name is told. All others are answered as a name that there is not. */
const TOLD: ReadonlySet<ErrorCode> = new Set(["sandbox_paused", "insufficient_resources", "guest_error"]);

export interface LoginsOptions {
  credentials: CredentialStore;
  tenants: Tenants;
  tokens: TokenStore;
  log: ServerLog;
  /** Epoch `ms`. */
  now: () => number;
}

export interface Opened {
  record: CredentialRecord;
  /** To the sandbox's SSH services. */
  upstream: Duplex;
}

export class Logins {
  readonly #options: LoginsOptions;
  /** Connections of each name, those included that are being opened. */
  readonly #uses = new Map<string, number>();

  constructor(options: LoginsOptions) {
    this.#options = options;
  }

  /** Undefined for a name that opens nothing. @throws SbxError that whoever has the name is told */
  async open(username: string): Promise<Opened | undefined> {
    const { credentials, log } = this.#options;
    try {
      const record = credentials.find(username);
      if (record === undefined || !this.#tokenHolds(record.tokenId)) return undefined;
      return { record, upstream: await this.#openCounted(record) };
    } catch (error) {
      if (error instanceof SbxError && TOLD.has(error.code)) throw error;
      if (!isGone(error)) log.write("error", "ssh.failure", { error: failureText(error) });
      return undefined;
    }
  }

  /** Whether one that was good before still is. */
  holds({ id, tokenId }: CredentialRecord): boolean {
    return this.#options.credentials.holds(id) && this.#tokenHolds(tokenId);
  }

  /** Forgets the names that open nothing any more. It changes nothing but the size of the database. */
  async prune(signal: AbortSignal): Promise<void> {
    const { credentials } = this.#options;
    for (const tokenId of credentials.tokens()) {
      if (!this.#tokenHolds(tokenId)) credentials.revokeOfToken(tokenId);
    }
    for (const place of credentials.places()) {
      const isUsed = await this.#isUsed(place);
      if (signal.aborted) return;
      if (!isUsed) credentials.revoke(place);
    }
  }

  /** It counts until it is closed, from before anything waits. */
  async #openCounted({ id: credentialId, organisation, sandbox }: CredentialRecord): Promise<Duplex> {
    const uses = this.#uses.get(credentialId) ?? 0;
    if (uses >= MAX_CONNECTIONS_OF_CREDENTIAL) {
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
      const upstream = await runtime.ssh.openMessages(id);
      finished(upstream, release); // which it may be already
      return upstream;
    } catch (error) {
      release();
      throw error;
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

  #tokenHolds(tokenId: string): boolean {
    return this.#options.tokens.holds(tokenId, this.#options.now());
  }
}

/** Whether the sandbox is over, or never was. */
function isGone(error: unknown): boolean {
  if (error instanceof ApiError) return error.code === "SANDBOX_NOT_FOUND";
  const codes: readonly ErrorCode[] = ["sandbox_not_found", "sandbox_stopped", "supervisor_lost"];
  return error instanceof SbxError && codes.includes(error.code);
}
