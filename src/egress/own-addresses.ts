/**
 * The addresses that this machine has itself. They change while a sandbox runs (a network is joined, a tunnel opened), so
 * they are looked up again, but not for each of the thousands of decisions that a guest may cause in a second.
 */
import { networkInterfaces } from "node:os";
import { findAddress, type IpAddress } from "../policy/ip-address.ts";

const MAX_AGE_MS = 1000;

export class OwnAddresses {
  readonly #list: () => readonly string[];
  readonly #now: () => number;
  #known: Readonly<Record<4 | 6, ReadonlySet<bigint>>> = { 4: new Set(), 6: new Set() };
  #until = -Infinity;

  /** Both are the system's, unless a test has its own. @param now of a clock that only goes forward, `ms` */
  constructor(list: () => readonly string[] = listAddresses, now: () => number = () => performance.now()) {
    this.#list = list;
    this.#now = now;
  }

  has({ family, value }: IpAddress): boolean {
    if (this.#now() >= this.#until) this.#refresh();
    return this.#known[family].has(value);
  }

  #refresh(): void {
    const known = { 4: new Set<bigint>(), 6: new Set<bigint>() };
    for (const text of this.#list()) {
      // A link-local address may come with its zone.
      const address = findAddress(text.replace(/%.*$/s, ""));
      if (address !== undefined) known[address.family].add(address.value);
    }
    this.#known = known;
    this.#until = this.#now() + MAX_AGE_MS;
  }
}

function listAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => addresses?.map(({ address }) => address) ?? []);
}
