/**
 * Names under which a control plane's gateway serves servers of a sandbox. Part of the interface of an organisation's
 * runtime: commands have `ExposureApi`.
 */
import type { Duplex } from "node:stream";
import type { CallOptions } from "./types.ts";

export interface DomainApi {
  /**
   * Announces a name: from then on a client of the sandbox's RPC may bind it, and no other. With a target it is bound at
   * once. It ends with the sandbox.
   *
   * @param domain a host name, perhaps with the port that clients find it at
   * @throws SbxError `sandbox_not_found`, `sandbox_stopped`; `usage` where there are too many
   */
  announce(ref: string, domain: string, target: DomainTarget | null, options?: CallOptions): Promise<Domain>;
  list(ref: string, options?: CallOptions): Promise<Domain[]>;
  /** Takes a name away; who uses it is cut off. @throws SbxError `exposure_not_found` */
  withdraw(ref: string, domain: string, options?: CallOptions): Promise<Domain>;
  /**
   * Connects to the server that a name is bound to.
   *
   * @param options.first what the server is sent first
   * @throws SbxError `exposure_not_found`, `nothing_listens`, `sandbox_paused`, `insufficient_resources`, `timeout`; and as
   * `announce`
   */
  openHttp(ref: string, domain: string, options?: OpenHttpOptions): Promise<Duplex>;
}

export type DomainTarget = { guestPort: number } | { pid: number };

export interface OpenHttpOptions extends CallOptions {
  first?: Buffer | undefined;
}

export interface Domain {
  domain: string;
  /** Undefined until it is bound. */
  target: DomainTarget | undefined;
  createdAt: number;
}
