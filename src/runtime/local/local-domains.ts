/** Names of this machine's sandboxes for the gateway of a control plane: calls at their supervisors. */
import type { Duplex } from "node:stream";
import {
  domains,
  DOMAINS_TARGET,
  hostOf,
  HTTP_UPGRADE,
  type DomainCall,
  type DomainRecord,
} from "../../protocol/domain-calls.ts";
import { asPart, PartedStream } from "../../protocol/parted-stream.ts";
import type { Domain, DomainApi, DomainTarget, OpenHttpOptions } from "../domains.ts";
import { SbxError } from "../errors.ts";
import type { CallOptions } from "../types.ts";
import { callRunning, type FindRunning, type RunningCall } from "./running-calls.ts";
import { openUpgrade } from "./supervisor-upgrade.ts";

export class LocalDomains implements DomainApi {
  readonly #findRunning: FindRunning;

  constructor(findRunning: FindRunning) {
    this.#findRunning = findRunning;
  }

  async announce(ref: string, domain: string, target: DomainTarget | null, options: CallOptions = {}): Promise<Domain> {
    const body: DomainCall = { domain, ...toCall(target) };
    return this.#one({ ref, method: "POST", target: DOMAINS_TARGET, body }, options);
  }

  async list(ref: string, options: CallOptions = {}): Promise<Domain[]> {
    return domains()
      .parse(await callRunning(this.#findRunning, { ref, method: "GET", target: DOMAINS_TARGET }, options))
      .map(toDomain);
  }

  async withdraw(ref: string, domain: string, options: CallOptions = {}): Promise<Domain> {
    return this.#one({ ref, method: "DELETE", target: `${DOMAINS_TARGET}/${hostOf(domain)}` }, options);
  }

  async openHttp(ref: string, domain: string, { first, signal }: OpenHttpOptions = {}): Promise<Duplex> {
    const { socket: socketPath } = this.#findRunning(ref);
    const target = `${DOMAINS_TARGET}/${hostOf(domain)}`;
    const { socket, behind } = await openUpgrade({
      ...{ socketPath, target, upgrade: HTTP_UPGRADE, allowHalfOpen: true, signal },
      first: first === undefined ? undefined : asPart(first),
    });
    return new PartedStream(socket, behind);
  }

  async #one(call: RunningCall, options: CallOptions): Promise<Domain> {
    const [domain] = domains().parse([await callRunning(this.#findRunning, call, options)]);
    if (domain === undefined) throw new SbxError("internal", "the supervisor's answer is empty");
    return toDomain(domain);
  }
}

function toCall(target: DomainTarget | null): Pick<DomainCall, "port" | "pid"> {
  if (target === null) return {};
  return "pid" in target ? { pid: target.pid } : { port: target.guestPort };
}

function toDomain({ domain, port, pid, createdAt }: DomainRecord): Domain {
  const target = port !== null ? { guestPort: port } : pid !== null ? { pid } : undefined;
  return { domain, target, createdAt };
}
