/**
 * Connections to the server of an instance. Over the guest's network card its kernel carries the bytes alone, which is
 * twice as many requests a second as through the agent and the messages of its client here. But that way has to be made,
 * which takes an instance that has just begun to go on longer than its first answer: until it is there, connections are
 * tunnels of the sandbox, and give way with their next request.
 */
import type { Duplex } from "node:stream";
import type { DomainApi } from "../../domains.ts";
import { SbxError, type ErrorCode } from "../../errors.ts";
import type { Instance } from "./instance-start.ts";

export type InstanceDomains = Pick<DomainApi, "announce" | "openHttp">;

/** Says nothing of the program: it may answer again in a moment. */
const PASSING: readonly ErrorCode[] = ["sandbox_paused", "insufficient_resources"];
/** For the way to be made, `ms`. */
const MAKE_TIMEOUT_MS = 15_000;
/** For a server to hang up on who asks for nothing, `ms`. */
const GOODBYE_MS = 1000;

export class InstanceDoor {
  readonly #domains: InstanceDomains;
  /** Those that can be reached over their card, or will be. */
  readonly #ways = new WeakMap<Instance, "being made" | "there">();
  readonly #tunnels = new WeakSet<Duplex>();

  constructor(domains: InstanceDomains) {
    this.#domains = domains;
  }

  /** @throws SbxError as `openTunnel` of a sandbox and `openHttp` of `DomainApi` */
  async open(instance: Instance, signal?: AbortSignal): Promise<Duplex> {
    const { sandbox, port } = instance;
    const options = signal === undefined ? {} : { signal };
    if (this.#ways.get(instance) === "there") return this.#domains.openHttp(sandbox.id, nameOf(port), options);
    const tunnel = await sandbox.openTunnel({ port }, options);
    this.#tunnels.add(tunnel);
    return tunnel;
  }

  /** Makes the way over the card, unless it is there; to be called when an answer is out. Where it cannot be made, nothing changes. */
  prepare(instance: Instance): void {
    if (this.#ways.has(instance)) return;
    this.#ways.set(instance, "being made");
    this.#make(instance).then(
      () => this.#ways.set(instance, "there"),
      () => this.#ways.delete(instance), // it is tried again with the next one
    );
  }

  /** Whether there is a better way by now than the one that a connection has. */
  isOutdated(instance: Instance, stream: Duplex): boolean {
    return this.#ways.get(instance) === "there" && this.#tunnels.has(stream);
  }

  async #make({ sandbox, port }: Instance): Promise<void> {
    const signal = AbortSignal.timeout(MAKE_TIMEOUT_MS);
    const name = nameOf(port);
    await this.#domains.announce(sandbox.id, name, { guestPort: port }, { signal });
    // The first connection has the supervisor and the guest's kernel prepare what the others find.
    const first = await this.#domains.openHttp(sandbox.id, name, { signal });
    first.on("error", () => undefined);
    const timer = setTimeout(() => first.destroy(), GOODBYE_MS).unref();
    first.once("close", () => clearTimeout(timer));
    first.resume().end();
  }
}

/** Whether the instance may be as well as before. */
export function isPassing(error: unknown): boolean {
  return error instanceof SbxError && PASSING.includes(error.code);
}

/** The same in every process that serves the instance: announced again, it is one name. No gateway's domain has it. */
function nameOf(port: number): string {
  return `app-${port}.internal`;
}
