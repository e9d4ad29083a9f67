/** A connection of the guest that is allowed so far, and what all ways of serving it share. */
import type { Duplex } from "node:stream";
import type { ConnectionTarget, Decision } from "../../policy/spec.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { GuestFlow } from "../guest-flow.ts";
import type { FlowLog } from "./flow-log.ts";
import type { ConnectionJudge } from "./hello-check.ts";
import type { FlowFacts, Interceptor } from "./interceptor.ts";

export interface FlowLimits {
  /** Connections of the guest at once, of every kind. */
  maxFlows: number;
  /** Connections whose upstream is being dialled. */
  maxDials: number;
  /** How long a guest may keep a connection that has to be read without saying what it is, `ms`. */
  firstBytesMs: number;
  /** How long the first bytes of a tunnel are held back for a verdict, `ms`. */
  holdMs: number;
}

/** What the router gives to each of its connections. */
export interface FlowServices {
  judge: () => ConnectionJudge;
  /** Whether every request of such a connection has to be read. */
  mustRead: (target: ConnectionTarget) => boolean;
  upstream: Upstream;
  interceptor: Interceptor;
  limits: FlowLimits;
}

export interface OpenFlow {
  flow: GuestFlow;
  target: ConnectionTarget;
  facts: FlowFacts;
  log: FlowLog;
  services: FlowServices;
  /** To be called once when the connection is over, or with the stream at whose end it is. */
  over: (stream?: Duplex) => void;
  /** In place of `over`: somebody else serves the stream until its end. */
  handOver: (stream: Duplex) => void;
}

/** A connection that is being served. */
export interface ServedFlow {
  readonly target: ConnectionTarget;
  /** Ends it at once, because of `decision`; `null` where the whole sandbox ends. */
  cut(decision: Decision | null): void;
  /** Whether its bytes pass unread. */
  readonly isTunnel: boolean;
  /** Of a tunnel: the address at its other end, if it is one that the policy was asked about. */
  readonly judgedAddress: string | null;
}
