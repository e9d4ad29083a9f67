/**
 * What carries messages between the services of this server and one client: SSH's own transport, or frames to somebody
 * who speaks it. Messages are those of RFC 4252 and 4254.
 */

/** Reasons to hang up, RFC 4253, section 11.1. */
export const DISCONNECT = { protocolError: 2, serviceNotAvailable: 7, byApplication: 11, noMoreAuth: 14 } as const;

export interface MessageLink {
  readonly isOver: boolean;
  /** Whether the client's socket takes more now. */
  readonly hasRoom: boolean;
  /**
   * Never waits; whoever sends much asks {@link writable} before.
   *
   * @param more what the payload goes on with
   */
  send(payload: Buffer, more?: Buffer): void;
  /** Settles when the socket takes more, or when it is over. */
  writable(): Promise<void>;
  /** Hangs up with a reason that the client prints. */
  disconnect(reason: number, text: string): void;
}
