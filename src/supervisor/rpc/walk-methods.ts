/** `walk` and `expandGlob`: entries as a stream, one JSON text a chunk. */
import type { WalkEntry } from "../../protocol/rpc-methods-fs.ts";
import type { RpcParams } from "../../protocol/rpc-methods.ts";
import { expandGlob } from "./glob-expander.ts";
import type { OutgoingStream } from "./outgoing-stream.ts";
import type { Call, Handlers } from "./session.ts";
import { WALK_DEFAULTS, Walker, type WalkOptions } from "./walker.ts";

export const WALK_HANDLERS: Handlers<"walk" | "expandGlob"> = {
  walk: async (call, params) => {
    const { signal, stop } = stoppable(call);
    return { streamId: (await openEntries(call, walkEntries(call, params, signal), stop)).streamId };
  },
  expandGlob: async (call, params) => {
    const { signal, stop } = stoppable(call);
    return { streamId: (await openEntries(call, toAsync(await globEntries(call, params, signal)), stop)).streamId };
  },
};

export function walkEntries(call: Call, params: RpcParams<"walk">, signal: AbortSignal): AsyncGenerator<WalkEntry> {
  const options = walkOptions(params.options ?? params);
  return new Walker(call.session.state, options, signal).walk(params.path);
}

export async function globEntries(
  call: Call,
  params: RpcParams<"expandGlob">,
  signal: AbortSignal,
): Promise<Iterable<WalkEntry>> {
  const options = expandOptions(params.options ?? params);
  return expandGlob(call.session.state, params.glob, options, signal);
}

function walkOptions(params: NonNullable<RpcParams<"walk">["options"]>): WalkOptions {
  return {
    maxDepth: params.maxDepth ?? WALK_DEFAULTS.maxDepth,
    includeFiles: params.includeFiles ?? WALK_DEFAULTS.includeFiles,
    includeDirs: params.includeDirs ?? WALK_DEFAULTS.includeDirs,
    includeSymlinks: params.includeSymlinks ?? WALK_DEFAULTS.includeSymlinks,
    followSymlinks: params.followSymlinks ?? WALK_DEFAULTS.followSymlinks,
    canonicalize: params.canonicalize ?? WALK_DEFAULTS.canonicalize,
    exts: params.exts ?? undefined,
    match: params.match ?? undefined,
    skip: params.skip ?? undefined,
  };
}

function expandOptions(params: NonNullable<RpcParams<"expandGlob">["options"]>): Parameters<typeof expandGlob>[2] {
  return {
    extended: params.extended ?? true,
    globstar: params.globstar ?? true,
    caseInsensitive: params.caseInsensitive ?? false,
    includeDirs: params.includeDirs ?? true,
    followSymlinks: params.followSymlinks ?? false,
    canonicalize: params.canonicalize ?? true,
    root: params.root ?? undefined,
    exclude: params.exclude ?? [],
  };
}

/** The client's cancel ends the work in the guest too, not only its result. */
function stoppable(call: Call): { signal: AbortSignal; stop: () => void } {
  const controller = new AbortController();
  return { signal: AbortSignal.any([call.signal, controller.signal]), stop: () => controller.abort() };
}

/** Waits for the first entry, so that a root that is not there fails the call and not a stream. */
async function openEntries(call: Call, entries: AsyncGenerator<WalkEntry>, stop: () => void): Promise<OutgoingStream> {
  call.session.outgoing.assertRoom();
  const first = await entries.next();
  const stream = call.session.outgoing.open({
    chunks: encodeEntries(first, entries),
    whole: true,
    whenAbandoned: "destroy",
    destroy: () => {
      stop();
      // Also one that waits at a yield has a stream of the guest's to let go of.
      entries.return(undefined).catch(() => undefined);
    },
  });
  call.afterReply(() => stream.start());
  return stream;
}

async function* encodeEntries(
  first: IteratorResult<WalkEntry, unknown>,
  rest: AsyncGenerator<WalkEntry>,
): AsyncGenerator<Buffer> {
  if (first.done === true) return;
  yield encodeEntry(first.value);
  for await (const entry of rest) yield encodeEntry(entry);
}

function encodeEntry({ path, name, isFile, isDirectory, isSymlink }: WalkEntry): Buffer {
  return Buffer.from(JSON.stringify({ path, name, isFile, isDirectory, isSymlink }));
}

async function* toAsync<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}
