/** The URLs of one sandbox, and the gateways that serve them: one for each port of this machine that they are at. */
import { timingSafeEqual } from "node:crypto";
import { type Gateway, openGateway, type Target } from "../../gateway/gateway.ts";
import { type ExposeCall, type ExposureRecord, MAX_EXPOSURES } from "../../protocol/expose-calls.ts";
import { SbxError } from "../../runtime/errors.ts";
import { makeExposureHost } from "./exposure-name.ts";
import type { GuestPorts } from "./guest-port.ts";

export interface ExposuresOptions {
  /** Of the sandbox. */
  id: string;
  name: string | null;
  ports: Pick<GuestPorts, "dial" | "prepare">;
  isPaused: () => boolean;
}

interface Exposed {
  record: ExposureRecord;
  hostBytes: Buffer;
  target: Target;
}

export class Exposures implements AsyncDisposable {
  readonly #options: ExposuresOptions;
  /** By port of the guest. */
  readonly #exposed = new Map<number, Exposed>();
  /** By port of this machine. */
  readonly #gateways = new Map<number, Gateway>();
  /** The port that URLs have which are given none. It is kept, so that one that was removed can come back. */
  #usualPort: number | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: ExposuresOptions) {
    this.#options = options;
  }

  list(): ExposureRecord[] {
    return [...this.#exposed.values()].map(({ record }) => record).toSorted((a, b) => a.guestPort - b.guestPort);
  }

  async add(call: ExposeCall): Promise<ExposureRecord> {
    return this.#inTurn(() => this.#add(call));
  }

  async remove(guestPort: number): Promise<ExposureRecord> {
    return this.#inTurn(() => this.#remove(guestPort));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#exposed.clear();
    await this.#inTurn(async () => {
      const gateways = [...this.#gateways.values()];
      this.#gateways.clear();
      await Promise.all(gateways.map((gateway) => gateway[Symbol.asyncDispose]()));
    });
  }

  /** One change after the other: a port is opened once. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #add({ guestPort, hostPort }: ExposeCall): Promise<ExposureRecord> {
    if (this.#closed) throw new SbxError("sandbox_stopped", "the sandbox is being stopped", { hint: "sbx list" });
    const { id, name, ports, isPaused } = this.#options;
    const ref = name ?? id;
    const there = this.#exposed.get(guestPort)?.record;
    if (there !== undefined && (hostPort === undefined || hostPort === there.hostPort)) return there;
    if (there !== undefined) {
      throw new SbxError("port_in_use", `port ${guestPort} of ${ref} has a URL at port ${there.hostPort} already`, {
        hint: `sbx expose ${ref} ${guestPort} --remove`,
      });
    }
    if (this.#exposed.size >= MAX_EXPOSURES) {
      throw new SbxError("usage", `a sandbox has up to ${MAX_EXPOSURES} URLs`, { hint: `sbx expose ${ref}` });
    }
    const gateway = await this.#gatewayAt(hostPort);
    const host = makeExposureHost(name);
    const record = {
      guestPort,
      hostPort: gateway.port,
      host,
      url: `http://${host}:${gateway.port}`,
      createdAt: Date.now(),
    };
    const target: Target = {
      subject: { sandbox: ref, port: guestPort },
      isPaused,
      dial: async (first, signal) => ports.dial(guestPort, first, signal),
    };
    this.#exposed.set(guestPort, { record, hostBytes: Buffer.from(host), target });
    return record;
  }

  async #gatewayAt(hostPort: number | undefined): Promise<Gateway> {
    const wanted = hostPort ?? this.#usualPort;
    const there = wanted === undefined ? undefined : this.#gateways.get(wanted);
    if (there !== undefined) return there;
    const gateway = await this.#open(hostPort, wanted);
    this.#gateways.set(gateway.port, gateway);
    if (hostPort === undefined || this.#usualPort === undefined) this.#usualPort = gateway.port;
    return gateway;
  }

  async #open(hostPort: number | undefined, wanted: number | undefined): Promise<Gateway> {
    const find = (host: string): Target | undefined => this.#find(host);
    try {
      return await openGateway({ port: wanted ?? 0, find });
    } catch (error) {
      // Somebody else has taken the port that was usual.
      if (hostPort === undefined && wanted !== undefined) return openGateway({ port: 0, find });
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "EADDRINUSE" && code !== "EACCES") throw error;
      const why = code === "EACCES" ? "may not be opened by this account" : "is taken by another program";
      throw new SbxError("port_in_use", `port ${hostPort ?? 0} of this machine ${why}`, {
        cause: error,
        hint: "leave out --port to have a free one",
      });
    }
  }

  async #remove(guestPort: number): Promise<ExposureRecord> {
    const found = this.#exposed.get(guestPort);
    if (found === undefined) {
      const ref = this.#options.name ?? this.#options.id;
      throw new SbxError("exposure_not_found", `port ${guestPort} of ${ref} has no URL`, { hint: `sbx expose ${ref}` });
    }
    this.#exposed.delete(guestPort);
    const { hostPort } = found.record;
    const gateway = this.#gateways.get(hostPort);
    gateway?.drop(found.target);
    if (![...this.#exposed.values()].some(({ record }) => record.hostPort === hostPort)) {
      this.#gateways.delete(hostPort);
      await gateway?.[Symbol.asyncDispose]();
    }
    return found.record;
  }

  /** Takes the same time for every name of one length, right or wrong. */
  #find(hostField: string): Target | undefined {
    const host = Buffer.from(hostField.replace(/:\d+$/, ""));
    let found: Target | undefined;
    for (const { hostBytes, target } of this.#exposed.values()) {
      if (hostBytes.length === host.length && timingSafeEqual(hostBytes, host)) found = target;
    }
    return found;
  }
}
