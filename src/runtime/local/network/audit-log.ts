/**
 * Reads a sandbox's audit log: one JSON object a line, written by its supervisor. What is in the objects the guest chose
 * in part; lines that are no events (a full disk, a killed writer) are counted and left out.
 */
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  AUDIT_LOG_NAME,
  MAX_AUDIT_LINE_BYTES,
  parseAuditLine,
  type AuditEvent,
} from "../../../protocol/audit-event.ts";
import type { AuditLogOptions } from "../../network.ts";
import { FollowedFile } from "../followed-file.ts";

const POLL_MS = 250;

/** What was written so far, and with `follow` what is added from then on. @param isOver ends following */
export async function* readAuditLog(
  directory: string,
  options: AuditLogOptions & { isOver: () => boolean },
): AsyncIterable<AuditEvent> {
  const { follow = false, tail, signal } = options;
  // A line that is too long stays too long, and is none of ours.
  const maxLineChars = MAX_AUDIT_LINE_BYTES + 1;
  await using file = new FollowedFile(path.join(directory, AUDIT_LOG_NAME), { maxLineChars });
  const reader = new EventReader(options);
  const earlier = [...reader.read(await file.readRotated()), ...reader.read(await file.readNew())];
  if (!follow) earlier.push(...reader.read(file.readRest()));
  yield* tail === undefined ? earlier : earlier.slice(Math.max(0, earlier.length - tail));
  while (follow && signal?.aborted !== true) {
    const over = options.isOver();
    yield* reader.read(await file.readNew());
    if (over) {
      yield* reader.read(file.readRest());
      break;
    }
    await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal }).catch(
      () => undefined, // aborted: the loop's condition sees it
    );
  }
  if (reader.damaged > 0) options.onDamaged?.(reader.damaged);
}

class EventReader {
  /** Lines that could not be read. */
  damaged = 0;
  readonly #filter: (event: AuditEvent) => boolean;

  constructor({ filter = () => true }: AuditLogOptions) {
    this.#filter = filter;
  }

  read(lines: readonly string[]): AuditEvent[] {
    const events: AuditEvent[] = [];
    for (const line of lines) {
      const event = parseAuditLine(line);
      if (event === undefined) this.damaged++;
      else if (this.#filter(event)) events.push(event);
    }
    return events;
  }
}
