/** One request of the guest and the way to answer it, whichever HTTP it came in by. */
import type { Readable } from "node:stream";
import type { FieldLines, HttpVersion, RequestHead, ResponseHead } from "../http-heads.ts";
import type { Authority } from "./authority.ts";

/** What the router knows of a flow that is intercepted. */
export interface FlowFacts {
  /** Number of the guest's TCP connection. */
  flow: number;
  /** Canonical name, or an address where there is none. */
  host: string;
  port: number;
}

/** The guest's connection that requests come in by. */
export interface Carrier {
  readonly facts: FlowFacts;
  readonly authority: Authority;
}

/** Somewhere to write a body to: `write` says whether more may come now, and `drain` follows when it may not. */
export interface BodySink {
  readonly destroyed: boolean;
  write(chunk: Buffer): boolean;
  once(event: "drain" | "close", listener: () => void): unknown;
  off(event: "drain" | "close", listener: () => void): unknown;
}

export interface GuestExchange {
  readonly version: HttpVersion;
  readonly carrier: Carrier;
  /** Agrees with the connection's authority: a request that does not is answered before there is an exchange. */
  readonly head: RequestHead;
  readonly body: Readable | null;
  /** Whether the guest waits for 100 before it sends the body. */
  readonly awaitsContinue: boolean;
  /** Aborted when the guest is gone or has given up on this request. */
  readonly signal: AbortSignal;
  /** Complete when the body has ended. */
  trailers(): FieldLines;
  sendContinue(): void;
  /** An interim response; dropped where the guest would not understand it. */
  sendInterim(status: number, fields: FieldLines): void;
  /** The head of the response, and where its body goes; `null` where there is none. Called once. */
  respond(head: ResponseHead, hasBody: boolean): BodySink;
  /** After the body: the response is complete. */
  finish(trailers: FieldLines): void;
  /** The response must not look complete: RST_STREAM, or the connection is destroyed. */
  abort(): void;
  readonly responded: boolean;
}

/** Why a guest's signal is aborted. Made once: an error of its own for each request would cost more than the rest. */
export const GONE = new Error("the client is gone");

/** Whether a response to this has a body at all (RFC 9112, 6.3). */
export function mayHaveBody(method: string, status: number): boolean {
  return method !== "HEAD" && status >= 200 && status !== 204 && status !== 304;
}
