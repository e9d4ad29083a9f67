/**
 * Bounds of what a guest can make the host hold. All of them together: `receiveBudgetBytes` + `sendBudgetBytes`, one
 * chunk in the hands of each stream, the two link buffers, and a few kB for each flow.
 */

export interface NetLimits {
  /** Flows that are pending, open, or closed with data that nobody has read. More are refused. */
  maxFlows: number;
  /** SYNs whose flow was neither accepted nor refused, or whose handshake is not complete. More are ignored. */
  maxPending: number;
  /** Flows in TIME_WAIT; the oldest makes room. */
  maxTimeWait: number;
  /** What the guest sent and nobody has read, of all flows, with the overhead of small pieces. */
  receiveBudgetBytes: number;
  /** What the guest has not acknowledged, of all flows. */
  sendBudgetBytes: number;
  /** Of one flow: the largest window, and what is taken from its writer before the guest acknowledges. */
  flowReceiveBytes: number;
  flowSendBytes: number;
  /** Out of order, of one flow. */
  reassemblyBytes: number;
  reassemblyPieces: number;

  /** How long a SYN may wait for its answer: longer than any dialling does. */
  pendingMs: number;
  /** The link has no old duplicates: this only answers a FIN that is repeated. */
  timeWaitMs: number;
  /** First retransmission; doubles. Longer than Linux delays an acknowledgement, and than an emulated guest is busy. */
  retransmitMs: number;
  maxRetransmitMs: number;
  /** Retransmissions and probes that the guest, though alive, leaves unanswered before its flow is given up. */
  maxRetries: number;
  keepAliveMs: number;
  keepAliveProbeMs: number;
  /** An acknowledgement that nothing made urgent. */
  delayedAckMs: number;
  /**
   * The same for an answer of a server that was dialled from here: the next request follows at once and carries it, and
   * a server that holds its next piece back until then (Nagle) does not lose much.
   */
  ownDelayedAckMs: number;
}

export const NET_LIMITS: NetLimits = {
  maxFlows: 8192,
  maxPending: 1024,
  maxTimeWait: 1024,
  receiveBudgetBytes: 48 * 1024 * 1024,
  sendBudgetBytes: 48 * 1024 * 1024,
  flowReceiveBytes: 1024 * 1024,
  flowSendBytes: 1024 * 1024,
  reassemblyBytes: 512 * 1024,
  reassemblyPieces: 64,
  pendingMs: 75_000,
  timeWaitMs: 2000,
  retransmitMs: 1000,
  maxRetransmitMs: 30_000,
  maxRetries: 10,
  keepAliveMs: 120_000,
  keepAliveProbeMs: 30_000,
  delayedAckMs: 10,
  ownDelayedAckMs: 2,
};
