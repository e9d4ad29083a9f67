/** Events for those who ask, and for those who wait for more. */
import { openDatabase } from "../../../store/database.ts";
import { DiskStore } from "../../../store/disks/disk-store.ts";
import { EventStore, type EventQuery } from "../../../store/events/event-store.ts";
import { SandboxStore } from "../../../store/sandbox-store.ts";
import { StagingStore } from "../../../store/staging-store.ts";
import { SbxError } from "../../errors.ts";
import type { EventOptions, EventRecord } from "../../watching.ts";
import { findSandbox } from "../sandbox-id.ts";
import type { DiskState } from "../disks/disk-context.ts";
import type { LocalState } from "../state.ts";
import { DatabaseWatch } from "./database-watch.ts";
import { DeathWatch, LOOK_MS } from "./death-watch.ts";

/** Ends silently with the signal. @throws SbxError `sandbox_not_found` */
export async function* readEvents(state: LocalState, options: EventOptions): AsyncIterable<EventRecord> {
  const { signal } = options;
  const query = await planQuery(state, options);
  const begun = openEvents(state);
  let { events } = begun;
  let database: Disposable | undefined = begun;
  try {
    yield* readPast(events, query, options.tail);
    if (options.follow !== true) return;
    let deaths = new DeathWatch(state);
    using watch = new SwitchableWatch(state.paths.databasePath);
    while (signal?.aborted !== true && !isPast(options.until)) {
      if (watch.current.isReplaced) {
        database[Symbol.dispose]();
        const next = openEvents(state);
        ({ events } = next);
        database = next;
        deaths = new DeathWatch(next.stateOf(state));
        // Numbers begin anew in a new database.
        query.after = 0;
        watch.renew();
      }
      yield* readPages(events, query);
      await watch.current.wait(LOOK_MS, signal);
      await deaths.look();
    }
  } finally {
    database[Symbol.dispose]();
  }
}

interface OpenEvents extends Disposable {
  events: EventStore;
  /** The state as this database has it: the one that `state` was opened with may have been set aside. */
  stateOf: (state: LocalState) => DiskState;
}

/** A connection of its own: others may come and go. */
function openEvents({ paths }: LocalState): OpenEvents {
  const database = openDatabase(paths.databasePath);
  return {
    events: new EventStore(database),
    stateOf: ({ layerFiles }) => ({
      ...{ paths, database, layerFiles, store: new SandboxStore(database), staging: new StagingStore(database) },
      disks: new DiskStore(database, paths.cataloguePath),
    }),
    [Symbol.dispose]: () => database.close(),
  };
}

class SwitchableWatch implements Disposable {
  readonly #file: string;
  current: DatabaseWatch;

  constructor(file: string) {
    this.#file = file;
    this.current = new DatabaseWatch(file);
  }

  renew(): void {
    this.current[Symbol.dispose]();
    this.current = new DatabaseWatch(this.#file);
  }

  [Symbol.dispose](): void {
    this.current[Symbol.dispose]();
  }
}

async function planQuery(state: LocalState, options: EventOptions): Promise<EventQuery> {
  const events = new EventStore(state.database);
  const { follow, sandbox, types, after, since, until, tail } = options;
  const fromNow = follow === true && after === undefined && since === undefined && tail === undefined;
  return {
    after: after ?? (fromNow ? events.last() : 0),
    types,
    since,
    until,
    ...(sandbox === undefined ? {} : { sandboxId: findId(state, events, sandbox) }),
  };
}

/** A sandbox that is listed, or one that events still tell of. */
function findId(state: LocalState, events: EventStore, ref: string): string {
  try {
    return findSandbox(state.store.list(), ref).id;
  } catch (error) {
    const [latest] = error instanceof SbxError && error.code === "sandbox_not_found" ? events.sandboxesNamed(ref) : [];
    if (latest === undefined) throw error;
    return latest;
  }
}

/** Moves `query.after` on. */
function* readPages(events: EventStore, query: EventQuery): Iterable<EventRecord> {
  for (;;) {
    const page = events.read(query);
    yield* page.events;
    if (page.last === query.after) return;
    query.after = page.last;
  }
}

function* readPast(events: EventStore, query: EventQuery, tail: number | undefined): Iterable<EventRecord> {
  if (tail === undefined) {
    yield* readPages(events, query);
    return;
  }
  const last: EventRecord[] = [];
  for (const event of readPages(events, query)) {
    last.push(event);
    if (last.length > tail) last.shift();
  }
  yield* last;
}

function isPast(until: number | undefined): boolean {
  return until !== undefined && Date.now() > until;
}
