/** What one sandbox's HTTP traffic may cost the host. Each limit is reached by a hostile guest or upstream alone. */

export interface HttpLimits {
  /** Header section of a request, and of its trailers. */
  requestHeadBytes: number;
  /** Header section of a response, and of its trailers. */
  responseHeadBytes: number;
  /** Field lines of one head. */
  fieldLines: number;
  /** Requests that one HTTP/2 connection carries at a time, on either leg. */
  streamsPerConnection: number;
  /**
   * Requests that are under way in the whole sandbox. One more is answered with 503. Each makes the host hold some 300 KiB
   * of bodies where a side does not read.
   */
  exchanges: number;
  /**
   * Requests that wait on an HTTP/1.1 connection behind the one being answered; their heads have twice
   * {@link requestHeadBytes} together, except that one may always wait. What is beyond ends the connection.
   */
  pipelined: number;
  /** What waits so, over all connections. A connection on which one more would wait is ended. */
  pipelinedBytes: number;
  /** Heads of requests that are under way, over all connections. One more is answered with 503. */
  headBytes: number;
  /**
   * A request's body whose length changes, as a secret is put in, is gathered and sent with its new length, if the old and
   * the new one are at most this. A larger one, and one that came without a length, is sent in chunks.
   */
  gatheredBodyBytes: number;
  /** What is gathered over all requests. Where it is reached, bodies are sent in chunks. */
  gatheredBytes: number;
  /** Interim (1xx) responses to one request. */
  interimResponses: number;
  /** How long a guest's connection may go without a request, the reading of the next header included, `ms`. */
  guestIdleMs: number;
  /** Between a request's last byte and the first of its response, `ms`. Models that do not stream think for minutes. */
  firstByteMs: number;
  /** How long the rest of an upload is read and thrown away after the response, `ms`. */
  lingerMs: number;
  /** Bytes of an upload that may be thrown away after the response. */
  lingerBytes: number;
  /** How long an upstream connection is kept without a request, `ms`. */
  upstreamIdleMs: number;
  /** HTTP/1.1 connections kept without a request, for one host and in all. */
  idlePerHost: number;
  idleInAll: number;
  /** Connections to one host; a request beyond waits for one of them. */
  connectionsPerHost: number;
  /** HTTP/2 window of one stream, which is what a slow reader on the other leg makes the host hold. */
  streamWindowBytes: number;
  webSockets: number;
  /** One message, which is held as a whole. */
  webSocketMessageBytes: number;
  /**
   * What all WebSockets together hold: unfinished messages, and whole ones that were not written to their receiver. The
   * one that would hold more is ended. A message that waits takes two to three times its bytes of the host's memory.
   */
  webSocketBytes: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

export const DEFAULT_LIMITS: HttpLimits = {
  requestHeadBytes: 64 * KIB,
  responseHeadBytes: 128 * KIB,
  fieldLines: 500,
  streamsPerConnection: 100,
  exchanges: 1024,
  pipelined: 16,
  pipelinedBytes: 8 * MIB,
  headBytes: 32 * MIB,
  gatheredBodyBytes: MIB,
  gatheredBytes: 32 * MIB,
  interimResponses: 32,
  guestIdleMs: 120_000,
  firstByteMs: 900_000,
  lingerMs: 10_000,
  lingerBytes: 64 * MIB,
  upstreamIdleMs: 30_000,
  idlePerHost: 64,
  idleInAll: 128,
  connectionsPerHost: 256,
  streamWindowBytes: 256 * KIB,
  webSockets: 256,
  webSocketMessageBytes: 16 * MIB,
  webSocketBytes: 64 * MIB,
};
