/** Why a sandbox is no longer there. */
export const STOP_REASONS = [
  "killed",
  "expired",
  "session_ended",
  "budget_exceeded",
  "out_of_memory",
  "guest_shutdown",
  "crashed",
  "start_failed",
] as const;

export type StopReason = (typeof STOP_REASONS)[number];
