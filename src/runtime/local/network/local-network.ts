/** The network of sandboxes on this machine: their supervisors' answers, and the logs they leave. */
import type { Verdict } from "../../../policy/spec.ts";
import { isLive } from "../../../store/lifecycle.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import type {
  AuditEvent,
  AuditLogOptions,
  CheckAnswer,
  NetDenial,
  NetView,
  NetworkApi,
  RulesAnswer,
} from "../../network.ts";
import type { CallOptions } from "../../types.ts";
import { readAuditLog } from "./audit-log.ts";
import { changeNetwork, checkNetwork, fetchDenied, fetchNetwork } from "./network-calls.ts";

export interface LocalNetworkOptions {
  /** @throws SbxError `sandbox_not_found`, `sandbox_ambiguous` */
  find: (ref: string) => SandboxRow;
  /** @throws SbxError `sandbox_stopped` as well */
  findRunning: (ref: string) => SandboxRow;
  get: (id: string) => SandboxRow | undefined;
}

export class LocalNetwork implements NetworkApi {
  readonly #sandboxes: LocalNetworkOptions;

  constructor(sandboxes: LocalNetworkOptions) {
    this.#sandboxes = sandboxes;
  }

  async show(ref: string, options: CallOptions = {}): Promise<NetView> {
    return fetchNetwork(this.#target(ref, options));
  }

  async check(ref: string, method: string, url: string, options: CallOptions = {}): Promise<CheckAnswer> {
    return checkNetwork(this.#target(ref, options), { method, url });
  }

  async change(
    ref: string,
    verdict: Verdict,
    patterns: readonly string[],
    options: CallOptions = {},
  ): Promise<RulesAnswer> {
    return changeNetwork(this.#target(ref, options), verdict, patterns);
  }

  async denied(ref: string, options: CallOptions = {}): Promise<readonly NetDenial[]> {
    return fetchDenied(this.#target(ref, options));
  }

  log(ref: string, options: AuditLogOptions = {}): AsyncIterable<AuditEvent> {
    const { id, directory } = this.#sandboxes.find(ref);
    const isOver = (): boolean => !isLive(this.#sandboxes.get(id)?.status ?? "stopped");
    return readAuditLog(directory, { ...options, isOver });
  }

  #target(ref: string, { signal }: CallOptions): { socketPath: string; signal: AbortSignal | undefined } {
    return { socketPath: this.#sandboxes.findRunning(ref).socket, signal };
  }
}
