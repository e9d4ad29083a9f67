/**
 * Addresses that stand for names. A guest that may reach a name gets an address for it that is that name's alone, so
 * that each of its connections has a name, whatever it speaks.
 *
 * An address is not given to another name while a connection uses it or while somebody may remember it. Beyond that, the
 * one that was asked for the longest time ago is taken first, and only when no unused one is left.
 */

/** How long a guest may remember an address, `seconds`. */
export const SYNTHETIC_TTL_SECONDS = 60;
/** How much longer programs hold on to what they resolved, `ms`. */
const GRACE_MS = 10 * 60_000;
/** Names that have an address at once. A guest can fill this; each costs less than 1 KiB. */
const MAX_NAMES = 32_768;
/** First two bytes, and the last slot of the /16. */
const IPV4_PREFIX = "198.18";
const MAX_SLOT = 0xfffe;
const IPV6_PREFIX = "fd73:6278:0:1:";

export interface SyntheticAddresses {
  ipv4: string;
  ipv6: string;
}

/** Keeps the address from another name until it is disposed of. */
export interface NameHold extends Disposable {
  readonly name: string;
}

interface Entry {
  readonly name: string;
  readonly slot: number;
  /** Until then somebody may remember the address, `ms` of the clock. */
  rememberedUntilMs: number;
  holds: number;
}

export interface SyntheticNamesOptions {
  /** Monotonic, `ms`. */
  now?: () => number;
  maxNames?: number;
  /** Names that a guest knows already, in the order of their addresses ({@link SyntheticNames.list}). */
  known?: readonly string[];
}

export class SyntheticNames {
  readonly #now: () => number;
  readonly #maxNames: number;
  /** The name that was asked for the longest time ago first. */
  readonly #byName = new Map<string, Entry>();
  readonly #bySlot = new Map<number, Entry>();

  constructor({ now = () => performance.now(), maxNames = MAX_NAMES, known = [] }: SyntheticNamesOptions = {}) {
    this.#now = now;
    this.#maxNames = Math.min(maxNames, MAX_SLOT);
    for (const name of known) this.assign(name);
  }

  get size(): number {
    return this.#byName.size;
  }

  /** All names, in the order of their addresses. */
  list(): string[] {
    return [...this.#bySlot.values()].sort((a, b) => a.slot - b.slot).map(({ name }) => name);
  }

  /** The addresses of an allowed name, which a guest is about to be told. `null` when all are taken. @param name canonical */
  assign(name: string): SyntheticAddresses | null {
    const entry = this.#byName.get(name) ?? this.#open(name);
    if (entry === undefined) return null;
    entry.rememberedUntilMs = this.#now() + SYNTHETIC_TTL_SECONDS * 1000 + GRACE_MS;
    this.#byName.delete(name);
    this.#byName.set(name, entry);
    return addressesOf(entry.slot);
  }

  /** The name that an address stands for. @param address canonical */
  findName(address: string): string | undefined {
    return this.#find(address)?.name;
  }

  /** As {@link findName}, for a connection: the address stays the name's until the hold is disposed of. */
  hold(address: string): NameHold | undefined {
    const entry = this.#find(address);
    if (entry === undefined) return undefined;
    entry.holds++;
    let held = true;
    return {
      name: entry.name,
      [Symbol.dispose]: () => {
        if (held) entry.holds--;
        held = false;
      },
    };
  }

  #find(address: string): Entry | undefined {
    const slot = slotOf(address);
    return slot === undefined ? undefined : this.#bySlot.get(slot);
  }

  #open(name: string): Entry | undefined {
    const slot = this.#byName.size < this.#maxNames ? this.#byName.size + 1 : this.#takeSlot();
    if (slot === undefined) return undefined;
    const entry: Entry = { name, slot, rememberedUntilMs: 0, holds: 0 };
    this.#byName.set(name, entry);
    this.#bySlot.set(slot, entry);
    return entry;
  }

  /** Slots are handed out in order and never given back but here, so the number of names is the last slot. */
  #takeSlot(): number | undefined {
    const now = this.#now();
    for (const entry of this.#byName.values()) {
      // In order: those behind are remembered for longer.
      if (entry.rememberedUntilMs > now) return undefined;
      if (entry.holds > 0) continue;
      this.#byName.delete(entry.name);
      this.#bySlot.delete(entry.slot);
      return entry.slot;
    }
    return undefined;
  }
}

/** Whether the address is one that stands for a name, or could. @param address canonical */
export function isSynthetic(address: string): boolean {
  return address.startsWith(`${IPV4_PREFIX}.`) || address.startsWith(IPV6_PREFIX);
}

function addressesOf(slot: number): SyntheticAddresses {
  const ipv4 = `${IPV4_PREFIX}.${slot >>> 8}.${slot & 0xff}`;
  return { ipv4, ipv6: `${IPV6_PREFIX}:${slot.toString(16)}` };
}

function slotOf(address: string): number | undefined {
  const ipv4 = /^198\.18\.(\d{1,3})\.(\d{1,3})$/.exec(address);
  if (ipv4 !== null) return Number(ipv4[1]) * 256 + Number(ipv4[2]);
  const ipv6 = /^fd73:6278:0:1::([0-9a-f]{1,4})$/.exec(address);
  return ipv6?.[1] === undefined ? undefined : Number.parseInt(ipv6[1], 16);
}
