/**
 * Decides what becomes of each TCP connection that the guest opens: refused, carried unread, or handed to whoever reads
 * HTTP. Everything about a connection is the guest's choice; what is not plainly allowed is refused.
 */
import type { Duplex } from "node:stream";
import type { Decision } from "../../policy/spec.ts";
import type { AuditSink } from "../audit-event.ts";
import { isSynthetic } from "../dns/synthetic-names.ts";
import type { GuestFlow } from "../guest-flow.ts";
import { type Denial, FlowLog } from "./flow-log.ts";
import { HandedOverFlow } from "./handed-over-flow.ts";
import type { FlowLimits, FlowServices, OpenFlow, ServedFlow } from "./open-flow.ts";
import { ReadFlow } from "./read-flow.ts";
import { TunnelledFlow } from "./tunnelled-flow.ts";

const DEFAULT_LIMITS: FlowLimits = { maxFlows: 4096, maxDials: 512, firstBytesMs: 30_000, holdMs: 500 };
const DNS_PORT = 53;

/** Which name an address of the guest's stands for; see {@link SyntheticNames}. */
export interface FlowNames {
  /** The address stays the name's until the hold is disposed of. */
  hold(address: string): (Disposable & { readonly name: string }) | undefined;
}

export interface FlowRouterOptions extends Omit<FlowServices, "limits"> {
  names: FlowNames;
  /** Addresses of the guest's gateway. */
  gateway: readonly string[];
  /** Takes a connection to the gateway's resolver. */
  dnsOverTcp: (stream: Duplex) => void;
  audit: AuditSink;
  limits?: Partial<FlowLimits>;
}

export interface FlowRouter extends Disposable {
  /** Never throws. */
  onFlow(flow: GuestFlow): void;
  /** The policy, or what has to be read, has changed: ends connections that would not be opened like this any more. */
  reconsider(): void;
  readonly openFlows: number;
}

export function createFlowRouter(options: FlowRouterOptions): FlowRouter {
  return new HostFlowRouter(options);
}

/** A place among the connections that may be open at once. */
interface Place {
  /** `null` once the router has nothing more to say about it. */
  served: ServedFlow | null;
}

class HostFlowRouter implements FlowRouter {
  readonly #options: FlowRouterOptions;
  readonly #services: FlowServices;
  readonly #places = new Set<Place>();
  #dials = 0;
  #isClosed = false;

  constructor(options: FlowRouterOptions) {
    this.#options = options;
    const { judge, mustRead, upstream, interceptor } = options;
    this.#services = { judge, mustRead, upstream, interceptor, limits: { ...DEFAULT_LIMITS, ...options.limits } };
  }

  get openFlows(): number {
    return this.#places.size;
  }

  onFlow(flow: GuestFlow): void {
    const openedAt = Date.now();
    const hold = this.#options.names.hold(flow.target.address);
    const target = { host: hold?.name ?? flow.target.address, port: flow.target.port };
    const log = new FlowLog(this.#options.audit, { flow: flow.id, openedAt, ...target });
    const place: Place = { served: null };
    const leave = () => {
      this.#places.delete(place);
      hold?.[Symbol.dispose]();
    };
    const over = (stream?: Duplex) => {
      place.served = null;
      if (stream === undefined || stream.closed) leave();
      else stream.once("close", leave);
    };
    const handOver = (stream: Duplex) => {
      log.handedOver();
      over(stream);
      place.served = new HandedOverFlow(stream, target, log);
    };
    try {
      const denial = this.#serve({ flow, target, log, openedAt, over, handOver }, place);
      if (denial === null) return;
      flow.refuse();
      log.denied(denial);
    } catch (error) {
      // A fault of sbx's own must not take the other connections with it.
      flow.refuse();
      log.denied(refusal(`it could not be served: ${String(error)}`));
    }
    leave();
  }

  reconsider(): void {
    const judge = this.#services.judge();
    for (const { served } of [...this.#places]) {
      if (served === null) continue;
      const { target, isTunnel, judgedAddress } = served;
      const decision = judge.decideConnection(target);
      const answers = judgedAddress === null ? [decision] : [decision, judge.decideAddress(target, judgedAddress)];
      const denial = answers.find(({ verdict }) => verdict === "deny");
      if (denial !== undefined) served.cut(denial);
      else if (isTunnel && this.#services.mustRead(target)) served.cut(MUST_BE_READ);
    }
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const { served } of [...this.#places]) served?.cut(null);
  }

  /** Refuses with a reason, or begins to serve. */
  #serve({ flow, target, log, openedAt, over, handOver }: Arrival, place: Place): Denial | null {
    const { maxFlows, maxDials } = this.#services.limits;
    if (this.#isClosed) return refusal("the sandbox is ending");
    if (this.#places.size >= maxFlows) return refusal(`${maxFlows} connections are open already`);
    if (this.#options.gateway.includes(flow.target.address)) {
      if (target.port !== DNS_PORT) return refusal("the gateway answers DNS and nothing else");
      this.#places.add(place);
      const stream = flow.accept();
      over(stream);
      this.#options.dnsOverTcp(stream);
      return null;
    }
    if (isSynthetic(target.host))
      return refusal("its address stands for no name: it was never looked up, or too long ago");
    const decision = this.#services.judge().decideConnection(target);
    if (decision.verdict === "deny") return decision;
    const isRead = this.#services.mustRead(target);
    if (!isRead && this.#dials >= maxDials) return refusal(`${maxDials} connections are being opened already`);
    const facts = { flow: flow.id, ...target, decision, openedAt };
    const open: OpenFlow = { flow, target, facts, log, services: this.#services, over, handOver };
    this.#places.add(place);
    if (isRead) {
      place.served = new ReadFlow(open);
      return null;
    }
    const tunnelled = new TunnelledFlow(open);
    place.served = tunnelled;
    this.#dials++;
    void tunnelled.start(() => this.#dials--);
    return null;
  }
}

const MUST_BE_READ: Decision = {
  verdict: "deny",
  ...refusal("connections to this host have to be read from now on; a new one will be"),
};

type Arrival = Pick<OpenFlow, "flow" | "target" | "log" | "over" | "handOver"> & { openedAt: number };

function refusal(reason: string): Denial {
  return { rule: null, reason, fix: null };
}
