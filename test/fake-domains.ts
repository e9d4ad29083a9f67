/** Names of sandboxes in memory, for tests of the server: what is behind them is a function of the test's. */
import type { Duplex } from "node:stream";
import type { Domain, DomainApi, DomainTarget, OpenHttpOptions } from "../src/runtime/domains.ts";
import { SbxError } from "../src/runtime/errors.ts";

export class FakeDomains implements DomainApi {
  /** By sandbox and host. */
  readonly announced = new Map<string, Domain>();
  /** Plays the supervisor; nothing listens if absent. */
  connect: ((ref: string, target: DomainTarget, first: Buffer | undefined) => Promise<Duplex>) | undefined;
  readonly #require: (ref: string) => void;

  /** @param require throws for a sandbox that does not run */
  constructor(require: (ref: string) => void) {
    this.#require = require;
  }

  async announce(ref: string, domain: string, target: DomainTarget | null): Promise<Domain> {
    this.#require(ref);
    const key = keyOf(ref, domain);
    const record = { domain, target: target ?? this.announced.get(key)?.target, createdAt: 1_700_000_000_000 };
    this.announced.set(key, record);
    return record;
  }

  async list(ref: string): Promise<Domain[]> {
    this.#require(ref);
    return [...this.announced].filter(([key]) => key.startsWith(`${ref} `)).map(([, domain]) => domain);
  }

  async withdraw(ref: string, domain: string): Promise<Domain> {
    this.#require(ref);
    const found = this.#find(ref, domain);
    this.announced.delete(keyOf(ref, domain));
    return found;
  }

  async openHttp(ref: string, domain: string, { first }: OpenHttpOptions = {}): Promise<Duplex> {
    this.#require(ref);
    const { target } = this.#find(ref, domain);
    if (target === undefined || this.connect === undefined) throw new SbxError("nothing_listens", "nothing listens");
    return this.connect(ref, target, first);
  }

  #find(ref: string, domain: string): Domain {
    const found = this.announced.get(keyOf(ref, domain));
    if (found === undefined) throw new SbxError("exposure_not_found", `${ref} has no such name`);
    return found;
  }
}

function keyOf(ref: string, domain: string): string {
  return `${ref} ${domain.replace(/:\d+$/, "")}`;
}
