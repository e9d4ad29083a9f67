/**
 * What happened to sandboxes, disks and secrets: one record an event (docs/events.md). Names are the user's own words;
 * a few texts (why a guest crashed, a program's name) may be somebody else's and are cut.
 */

/** Every type there is. Programs read them: one is only ever added. */
export const EVENT_TYPES = [
  "sandbox.created",
  "sandbox.running",
  "sandbox.paused",
  "sandbox.resumed",
  "sandbox.extended",
  "sandbox.forked",
  "sandbox.stopping",
  "sandbox.stopped",
  "sandbox.failed",
  "process.started",
  "process.ended",
  "volume.created",
  "volume.attached",
  "volume.detached",
  "volume.grown",
  "volume.removed",
  "volume.restored",
  "volume.purged",
  "snapshot.created",
  "snapshot.removed",
  "checkpoint.created",
  "checkpoint.removed",
  "secret.stored",
  "secret.granted",
  "secret.rotated",
  "secret.removed",
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** Longest text in an event, `chars`. */
export const MAX_EVENT_TEXT = 500;
/** Longest list in an event. */
export const MAX_EVENT_LIST = 100;

export type EventDetail = Record<string, string | number | boolean | null | string[]>;

export interface EventRecord {
  /** Counts upwards in the order in which things happened; some numbers may be missing. */
  seq: number;
  /** Epoch `ms`. */
  time: number;
  type: EventType;
  /** The sandbox that it is about; `null` where there is none. */
  sandbox: { id: string; name: string | null } | null;
  /** The volume, snapshot, checkpoint or secret that it is about. */
  subject: { id: string; name: string } | null;
  /** What else is known; which keys there are depends on the type. */
  detail: EventDetail;
}
