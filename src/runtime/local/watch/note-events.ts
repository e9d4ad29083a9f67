/** Events of what is no change of the database's own tables. */
import { EventStore, type NewEvent } from "../../../store/events/event-store.ts";
import type { LocalState } from "../state.ts";

/** Records what has happened just now. Never throws: what happened did, whether or not there is room to say so. */
export function noteEvents(
  { database }: Pick<LocalState, "database">,
  events: readonly Omit<NewEvent, "time">[],
): void {
  try {
    const time = Date.now();
    new EventStore(database).append(events.map((event) => ({ ...event, time })));
  } catch {
    // The disk is full, or the database damaged: the next command says so.
  }
}
