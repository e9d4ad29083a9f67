/**
 * Connects to the first of several addresses that answers, as RFC 8305 has it: one attempt after the other with a short
 * delay between them, and none given up before another one has succeeded. (Node's own `autoSelectFamily` ends an
 * attempt after the delay, so that a far host with one dead address is never reached.)
 */
import { connect, isIPv6, type Socket } from "node:net";
import type { ConnectionTarget } from "../../policy/spec.ts";
import { renderTarget } from "../../policy/render.ts";
import { dialFailure } from "./failures.ts";
import { UpstreamError } from "./upstream.ts";

/** RFC 8305, section 5. */
const ATTEMPT_DELAY_MS = 250;
/** The kernel's default of two hours is longer than most middleboxes remember a connection. */
const KEEP_ALIVE_MS = 60_000;

export interface DialOptions {
  signal: AbortSignal;
  /** For all attempts together. */
  timeoutMs: number;
}

/**
 * Dials exactly the given addresses.
 *
 * @param target for messages, and the port
 * @throws UpstreamError
 */
export function dial(
  target: ConnectionTarget,
  addresses: readonly string[],
  options: DialOptions,
): Promise<{ socket: Socket; address: string }> {
  return new Promise((resolve, reject) => {
    new Race(target, interleave(addresses), options, resolve, reject).start();
  });
}

class Race {
  readonly #target: ConnectionTarget;
  readonly #addresses: readonly string[];
  readonly #options: DialOptions;
  readonly #resolve: (winner: { socket: Socket; address: string }) => void;
  readonly #reject: (error: UpstreamError) => void;
  readonly #attempts = new Set<Socket>();
  #firstError: UpstreamError | undefined;
  #next = 0;
  #delay: NodeJS.Timeout | undefined;
  #deadline: NodeJS.Timeout | undefined;

  constructor(
    target: ConnectionTarget,
    addresses: readonly string[],
    options: DialOptions,
    resolve: (winner: { socket: Socket; address: string }) => void,
    reject: (error: UpstreamError) => void,
  ) {
    this.#target = target;
    this.#addresses = addresses;
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(): void {
    const { signal, timeoutMs } = this.#options;
    signal.addEventListener("abort", this.#onAbort);
    if (signal.aborted) {
      this.#onAbort();
      return;
    }
    this.#deadline = setTimeout(() => {
      this.#fail(
        new UpstreamError("timeout", `${renderTarget(this.#target)} did not answer within ${timeoutMs / 1000} s`),
      );
    }, timeoutMs);
    this.#attempt();
  }

  readonly #onAbort = () => {
    this.#fail(new UpstreamError("aborted", `connecting to ${renderTarget(this.#target)} was aborted`));
  };

  #attempt(): void {
    clearTimeout(this.#delay);
    const address = this.#addresses[this.#next++];
    if (address === undefined) {
      if (this.#attempts.size > 0) return;
      this.#fail(this.#firstError ?? new UpstreamError("unresolved", `${this.#target.host} has no address`));
      return;
    }
    // A literal address is not looked up, whatever the system's resolver would say.
    const socket = connect({
      host: address,
      port: this.#target.port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    });
    this.#attempts.add(socket);
    socket.once("connect", () => this.#win(socket, address));
    // Stays for the life of the socket: an error where nobody listens must not end the process.
    socket.on("error", (error) => {
      if (!this.#attempts.delete(socket)) return;
      this.#firstError ??= dialFailure(this.#target, address, error);
      this.#attempt();
    });
    this.#delay = setTimeout(() => this.#attempt(), ATTEMPT_DELAY_MS);
  }

  #win(socket: Socket, address: string): void {
    if (!this.#attempts.delete(socket)) return;
    this.#settle();
    this.#resolve({ socket, address });
  }

  #fail(error: UpstreamError): void {
    this.#settle();
    this.#reject(error);
  }

  #settle(): void {
    clearTimeout(this.#delay);
    clearTimeout(this.#deadline);
    this.#options.signal.removeEventListener("abort", this.#onAbort);
    this.#next = this.#addresses.length;
    const losers = [...this.#attempts];
    this.#attempts.clear();
    for (const socket of losers) socket.destroy();
  }
}

/** One family after the other, beginning with that of the first address. */
function interleave(addresses: readonly string[]): readonly string[] {
  const [first] = addresses;
  if (first === undefined) return [];
  const preferred = addresses.filter((address) => isIPv6(address) === isIPv6(first));
  const others = addresses.filter((address) => isIPv6(address) !== isIPv6(first));
  const length = Math.max(preferred.length, others.length);
  return Array.from({ length }, (_, at) => [preferred[at], others[at]])
    .flat()
    .filter((address) => address !== undefined);
}
