/**
 * A WebSocket as the RPC client needs it: whole messages in, whole messages out. Two things implement it: a small
 * client for Unix sockets (start-up time of every command) and `ws` for URLs.
 */

export interface MessageSocketEvents {
  text(text: string): void;
  /** One message in the pieces in which it arrived; nothing is copied together. */
  binary(parts: readonly Buffer[], totalBytes: number): void;
  /** Comes once. 1005: closed without a code, 1006: the connection broke. */
  close(code: number, reason: string, error?: Error): void;
}

export interface MessageSocket {
  /** Headers of the handshake's answer, lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Starts delivering; messages that came before wait. */
  start(events: MessageSocketEvents): void;
  /** @param written called when the system has taken the message; never, if the connection goes before that */
  sendText(text: string, written?: () => void): void;
  /** The parts make one message. They are not copied: they must not change until `written` is called. */
  sendBinary(parts: readonly Uint8Array[], written?: () => void): void;
  /** Stops reading from the network. */
  pause(): void;
  resume(): void;
  /** Starts the closing handshake; `close` follows, after a short while also without an answer. */
  close(code: number, reason: string): void;
  /** Breaks the connection off. */
  destroy(error?: Error): void;
}

/** How long a peer may take to answer a close, `ms`. */
export const CLOSE_TIMEOUT_MS = 2_000;
