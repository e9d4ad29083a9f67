/**
 * The ways to a port of the guest. Over its network card its kernel does the work alone, which is two to three times as
 * fast as when the agent carries the bytes between two sockets; but the agent gets everywhere: to servers of IPv6, and
 * into guests whose firewall lets nothing in.
 */
import type { Duplex } from "node:stream";
import type { LoopbackDialer } from "../../guest/dial-loopback.ts";
import type { AgentLink } from "../../guest/link.ts";
import type { CardDialOptions } from "../network/card-dial.ts";

/** A kernel answers a SYN at once; an emulated one on a busy host, later, `ms`. */
const CARD_TIMEOUT_MS = 2000;
/** How long the agent is asked first, after it got to where the card did not; twice as long each time, `ms`. */
const AGENT_FIRST_MS = 15_000;
const MAX_AGENT_FIRST_MS = 600_000;
/** Lets packets for the loopback in that come from elsewhere (ip-sysctl, `route_localnet`): from the gateway alone. */
const ROUTE_LOCALNET = "/proc/sys/net/ipv4/conf/all/route_localnet";

export interface GuestPortsOptions {
  link: AgentLink;
  loopback: LoopbackDialer;
  /** @throws Error */
  overCard: (port: number, options: CardDialOptions) => Promise<Duplex>;
}

export class GuestPorts {
  readonly #options: GuestPortsOptions;
  /** Until when the agent goes first, by port, and how long that was. */
  readonly #agentFirst = new Map<number, { until: number; ms: number }>();
  #prepared: Promise<boolean> | undefined;

  constructor(options: GuestPortsOptions) {
    this.#options = options;
  }

  /** Has the guest's kernel take connections to its loopback over the card. Repeated, it does nothing. */
  async prepare(): Promise<boolean> {
    this.#prepared ??= openLoopback(this.#options.link).then(
      () => true,
      () => false, // the agent's way is there
    );
    return this.#prepared;
  }

  /**
   * Connects to whoever listens on the port. `first` is what is sent first.
   *
   * @throws AgentError; ECONNREFUSED where nothing listens
   */
  async dial(port: number, first: Buffer | undefined, signal: AbortSignal): Promise<Duplex> {
    const { overCard, loopback } = this.#options;
    const before = this.#agentFirst.get(port);
    const agentFirst = (before?.until ?? 0) > performance.now() || !(await this.prepare());
    if (!agentFirst) {
      try {
        const socket = await overCard(port, { signal, timeoutMs: CARD_TIMEOUT_MS, first });
        this.#agentFirst.delete(port);
        return socket;
      } catch {
        signal.throwIfAborted();
      }
    }
    const socket = await loopback.dial(port, { first, signal });
    if (!agentFirst) {
      const ms = before === undefined ? AGENT_FIRST_MS : Math.min(2 * before.ms, MAX_AGENT_FIRST_MS);
      this.#agentFirst.set(port, { until: performance.now() + ms, ms });
    }
    return socket;
  }
}

async function openLoopback(link: AgentLink): Promise<void> {
  const content = link.openWritable();
  const call = link.call("fs.writeFile", {
    ...{ path: ROUTE_LOCALNET, user: "root", stream: content.streamId },
    ...{ append: false, create: false, createNew: false, mode: null },
  });
  content.end("1");
  await call;
}
