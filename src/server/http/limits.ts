/** What a client may take of the server. Everything that it sends is untrusted. */

/** Of the fields of a request: the configuration of a sandbox with its secrets is one of them, `bytes`. */
export const MAX_HEADER_BYTES = 256 * 1024;
/** Of a body of the REST calls, `bytes`. */
export const MAX_BODY_BYTES = 64 * 1024;

export interface Timeouts {
  /** Until a request's head is there, `ms`. */
  headersMs: number;
  /** Until all of a request is there, `ms`. */
  requestMs: number;
  /** Between two looks at that, `ms`. */
  checkMs: number;
  /** What a client has to send the rest of its request in when the server ends, `ms`. */
  lastRequestMs: number;
  /** What is being done has to end in when the server ends, `ms`; then its client is hung up on. */
  drainMs: number;
}

export const TIMEOUTS: Timeouts = {
  headersMs: 20_000,
  requestMs: 60_000,
  checkMs: 5000,
  lastRequestMs: 1000,
  drainMs: 20_000,
};

/** What a client may send before its handshake is answered, `bytes`. */
export const MAX_EARLY_BYTES = 64 * 1024;
/** Between two looks whether a client that says nothing is still there, `ms`. */
export const KEEP_ALIVE_MS = 30_000;
/** Connections at one time. */
export const MAX_CONNECTIONS = 10_000;
