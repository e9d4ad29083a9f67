/**
 * Connections to the server of an instance, as the gateway makes them: over the guest's network card, where its kernel
 * carries the bytes alone. A tunnel of the sandbox would have them go through the agent, and through the messages of its
 * client here, which is half as many requests a second.
 */
import type { Duplex } from "node:stream";
import type { DomainApi } from "../../domains.ts";
import { SbxError, type ErrorCode } from "../../errors.ts";
import type { Instance } from "./instance-start.ts";

export type InstanceDomains = Pick<DomainApi, "announce" | "openHttp">;

/** Says nothing of the program: it may answer again in a moment. */
const PASSING: readonly ErrorCode[] = ["sandbox_paused", "insufficient_resources"];

export class InstanceDoor {
  readonly #domains: InstanceDomains;
  /** Those whose name is announced, or is just being. */
  readonly #announced = new WeakMap<Instance, Promise<unknown>>();

  constructor(domains: InstanceDomains) {
    this.#domains = domains;
  }

  /** @throws SbxError as `openHttp` of `DomainApi` */
  async open(instance: Instance, signal?: AbortSignal): Promise<Duplex> {
    const { sandbox, port } = instance;
    const name = nameOf(port);
    await this.#announce(instance, name);
    return this.#domains.openHttp(sandbox.id, name, signal === undefined ? {} : { signal });
  }

  async #announce(instance: Instance, name: string): Promise<void> {
    const { sandbox, port } = instance;
    const announced = this.#announced.get(instance) ?? this.#domains.announce(sandbox.id, name, { guestPort: port });
    this.#announced.set(instance, announced);
    try {
      await announced;
    } catch (error) {
      this.#announced.delete(instance);
      throw error;
    }
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
