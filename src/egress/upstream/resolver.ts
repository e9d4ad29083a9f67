/**
 * From a name to its addresses. What comes back is not trusted; whoever dials checks each address.
 *
 * Nothing is cached here: the system's resolver does that where the user wants it. Lookups of one name at one time are
 * one. A lookup that hangs keeps one of the few threads that there are (libuv lets half of its pool wait for names), so
 * their number is bounded, and whoever waits has a deadline.
 */
import { UpstreamError } from "./upstream.ts";

/** libuv runs two at a time; the others are taken up as soon as one is ready. */
const MAX_RUNNING = 4;
const MAX_WAITING = 512;
/** More are of no use: each costs an attempt. */
const MAX_ADDRESSES = 16;

/** Addresses in the order of preference. Rejects as `dns.lookup` does. */
export type Lookup = (name: string) => Promise<readonly string[]>;

export class Resolver {
  readonly #lookup: Lookup;
  readonly #deadlineMs: number;
  readonly #lookups = new Map<string, Promise<readonly string[]>>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(lookup: Lookup, deadlineMs: number) {
    this.#lookup = lookup;
    this.#deadlineMs = deadlineMs;
  }

  /** @throws UpstreamError `unresolved`, `timeout` or `aborted` */
  async resolve(name: string, signal: AbortSignal): Promise<readonly string[]> {
    const addresses = await this.#withDeadline(name, this.#shared(name), signal);
    if (addresses.length === 0) throw new UpstreamError("unresolved", `${name} has no address`);
    return addresses;
  }

  #shared(name: string): Promise<readonly string[]> {
    const known = this.#lookups.get(name);
    if (known !== undefined) return known;
    if (this.#waiting.length >= MAX_WAITING) {
      return Promise.reject(new UpstreamError("unresolved", `${name} was not looked up: too many names are waiting`));
    }
    const started = this.#run(name).finally(() => this.#lookups.delete(name));
    this.#lookups.set(name, started);
    return started;
  }

  async #run(name: string): Promise<readonly string[]> {
    if (this.#running >= MAX_RUNNING) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    try {
      const found = await this.#lookup(name);
      return [...new Set(found)].slice(0, MAX_ADDRESSES);
    } catch (cause) {
      throw new UpstreamError("unresolved", explain(name, cause), { cause });
    } finally {
      // The place goes to the next one, or is free.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  #withDeadline(name: string, lookup: Promise<readonly string[]>, signal: AbortSignal): Promise<readonly string[]> {
    return new Promise((resolve, reject) => {
      const give = (error: UpstreamError) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        reject(error);
      };
      const onAbort = () => give(new UpstreamError("aborted", `looking up ${name} was aborted`));
      const timer = setTimeout(() => {
        give(new UpstreamError("timeout", `looking up ${name} took more than ${this.#deadlineMs / 1000} s`));
      }, this.#deadlineMs);
      signal.addEventListener("abort", onAbort);
      lookup.then((addresses) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        resolve(addresses);
      }, give);
      if (signal.aborted) onAbort();
    });
  }
}

function explain(name: string, cause: unknown): string {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  if (code === "ENOTFOUND") return `${name} has no address`;
  if (code === "EAI_AGAIN") return `${name} was not looked up: the name servers do not answer`;
  return `${name} was not looked up: ${code === "" ? "unknown error" : code}`;
}
