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
import type { SandboxRow } from "../../store/sandbox-store.ts";
import type { Domain, DomainApi, DomainTarget, OpenHttpOptions } from "../domains.ts";
import { SbxError } from "../errors.ts";
import type { CallOptions } from "../types.ts";
import { callSupervisor, refusedWithCode } from "./supervisor-client.ts";
import { openUpgrade } from "./supervisor-upgrade.ts";

const TIMEOUT_MS = 10_000;

export class LocalDomains implements DomainApi {
  readonly #findRunning: (ref: string) => SandboxRow;

  constructor(findRunning: (ref: string) => SandboxRow) {
    this.#findRunning = findRunning;
  }

  async announce(ref: string, domain: string, target: DomainTarget | null, options: CallOptions = {}): Promise<Domain> {
    const call: DomainCall = { domain, ...toCall(target) };
    return this.#one(ref, "POST", DOMAINS_TARGET, call, options);
  }

  async list(ref: string, options: CallOptions = {}): Promise<Domain[]> {
    return domains()
      .parse(await this.#call(ref, "GET", DOMAINS_TARGET, undefined, options))
      .map(toDomain);
  }

  async withdraw(ref: string, domain: string, options: CallOptions = {}): Promise<Domain> {
    return this.#one(ref, "DELETE", `${DOMAINS_TARGET}/${hostOf(domain)}`, undefined, options);
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

  async #one(
    ref: string,
    method: string,
    target: string,
    body: object | undefined,
    options: CallOptions,
  ): Promise<Domain> {
    const [domain] = domains().parse([await this.#call(ref, method, target, body, options)]);
    if (domain === undefined) throw new SbxError("internal", "the supervisor's answer is empty");
    return toDomain(domain);
  }

  async #call(
    ref: string,
    method: string,
    target: string,
    body: object | undefined,
    { signal }: CallOptions,
  ): Promise<unknown> {
    return callSupervisor(this.#findRunning(ref).socket, method, target, {
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...{ signal, timeoutMs: TIMEOUT_MS, refused: refusedWithCode },
    });
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
