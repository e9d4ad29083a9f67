/**
 * Names under which a control plane's gateway serves this sandbox: announced by whoever can open the supervisor's socket,
 * bound to a port of the guest or to the server of a process. A client of the RPC can bind what was announced, and
 * nothing else. The names live here alone, so they end with the sandbox.
 */
import type { Duplex } from "node:stream";
import { hostOf, MAX_DOMAINS, type DomainCall, type DomainRecord } from "../../protocol/domain-calls.ts";
import { SbxError } from "../../runtime/errors.ts";
import type { GuestPorts } from "./guest-port.ts";

export interface DomainsOptions {
  /** What users call the sandbox. */
  ref: string;
  ports: Pick<GuestPorts, "dial">;
  /** A port that a process listens on. @throws an error with the code ECONNREFUSED where there is none */
  portOf: (pid: number, signal: AbortSignal) => Promise<number>;
}

/** What a name leads to. */
export type DomainTarget = { port: number } | { pid: number };

interface Announced {
  domain: string;
  target: DomainTarget | undefined;
  createdAt: number;
  open: Set<Duplex>;
}

export class Domains {
  readonly #options: DomainsOptions;
  /** By host. */
  readonly #announced = new Map<string, Announced>();

  constructor(options: DomainsOptions) {
    this.#options = options;
  }

  list(): DomainRecord[] {
    return [...this.#announced.values()].map(toRecord);
  }

  /** Repeated, it changes what was said before. @throws SbxError `usage` where there are too many */
  announce({ domain, port, pid }: DomainCall): DomainRecord {
    const host = hostOf(domain);
    const before = this.#announced.get(host);
    if (before === undefined && this.#announced.size >= MAX_DOMAINS) {
      throw new SbxError("usage", `a sandbox has up to ${MAX_DOMAINS} names`, {
        hint: `sbx expose ${this.#options.ref}`,
      });
    }
    const target = port !== undefined ? { port } : pid !== undefined ? { pid } : before?.target;
    const { createdAt = Date.now(), open = new Set<Duplex>() } = before ?? {};
    const announced = { domain, target, createdAt, open };
    this.#announced.set(host, announced);
    return toRecord(announced);
  }

  /** False for a name that was not announced. */
  bind(domain: string, target: DomainTarget): boolean {
    const announced = this.#announced.get(hostOf(domain));
    if (announced !== undefined) announced.target = target;
    return announced !== undefined;
  }

  /** Who uses it is cut off. @throws SbxError `exposure_not_found` */
  remove(host: string): DomainRecord {
    const announced = this.#announced.get(host);
    if (announced === undefined) throw this.#unknown();
    this.#announced.delete(host);
    for (const connection of announced.open) connection.destroy(new Error("its name was taken away"));
    return toRecord(announced);
  }

  /**
   * Connects to the server that a name is bound to.
   *
   * @param first what the server is sent first
   * @throws SbxError `exposure_not_found`, AgentError; ECONNREFUSED where nothing listens
   */
  async dial(host: string, first: Buffer | undefined, signal: AbortSignal): Promise<Duplex> {
    const { ports, portOf } = this.#options;
    const announced = this.#announced.get(host);
    if (announced === undefined) throw this.#unknown();
    const { target } = announced;
    if (target === undefined) throw Object.assign(new Error("nothing is bound to it"), { code: "ECONNREFUSED" });
    const port = "port" in target ? target.port : await portOf(target.pid, signal);
    const connection = await ports.dial(port, first, signal);
    announced.open.add(connection);
    connection.once("close", () => announced.open.delete(connection));
    return connection;
  }

  #unknown(): SbxError {
    return new SbxError("exposure_not_found", `${this.#options.ref} has no such name`, {
      hint: `sbx expose ${this.#options.ref}`,
    });
  }
}

function toRecord({ domain, target, createdAt }: Announced): DomainRecord {
  return {
    domain,
    port: target !== undefined && "port" in target ? target.port : null,
    pid: target !== undefined && "pid" in target ? target.pid : null,
    createdAt,
  };
}
