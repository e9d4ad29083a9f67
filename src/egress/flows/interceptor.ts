/** Whoever reads HTTP inside a guest's connection, as the router of flows hands it over. */
import type { Duplex } from "node:stream";
import type { Decision } from "../../policy/spec.ts";
import type { ClientHello } from "../tls/client-hello.ts";

/** What is known of a connection before its first request. */
export interface FlowFacts {
  /** {@link GuestFlow.id} */
  flow: number;
  /** The name that the connection was opened for, canonical; the address where there is none. */
  host: string;
  port: number;
  /** Why the connection is allowed at all; each request is judged again. */
  decision: Decision;
  /** When the guest's first packet came, epoch `ms`. */
  openedAt: number;
}

export interface TlsFlowFacts extends FlowFacts {
  /** `serverName` equals the host, or is absent where that is an address. */
  hello: ClientHello;
}

/**
 * Both take an accepted stream whose first byte is the guest's first byte, own it from then on and end it in every
 * case. They write to the audit log what becomes of the connection. They return at once and never throw.
 */
export interface Interceptor {
  /** The stream begins with a ClientHello. */
  serveTls(stream: Duplex, facts: TlsFlowFacts): void;
  /** The stream begins with an HTTP/1 request line, or with HTTP/2's preface. */
  servePlain(stream: Duplex, facts: FlowFacts): void;
}
