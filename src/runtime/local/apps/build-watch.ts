/** Ends a build that somebody has given up, that takes too long, or whose process ends. */
import type { FailureReason } from "../../../protocol/app-values.ts";
import type { RevisionStore } from "../../../store/apps/revision-store.ts";
import { SbxError } from "../../errors.ts";

/** A revision that is not over after this has failed, `ms`. */
export const BUILD_TIMEOUT_MS = 20 * 60_000;
/** Between two looks whether somebody gave it up, `ms`. */
const POLL_MS = 250;

export interface BuildWatch extends Disposable {
  readonly signal: AbortSignal;
  /** Looks at once whether somebody gave it up. */
  look(): void;
  /** Why it has fired, if that is not an error. */
  reason(): FailureReason | undefined;
}

export function watchBuild(revisions: RevisionStore, id: string, ending: AbortSignal): BuildWatch {
  const own = new AbortController();
  let reason: FailureReason | undefined;
  const end = (why: FailureReason, text: string): void => {
    reason ??= why;
    own.abort(new SbxError("aborted", text));
  };
  const look = (): void => {
    const row = revisions.get(id);
    if (row === undefined || row.cancelRequestedAt !== null) end("cancelled", "the revision was cancelled");
  };
  const poll = setInterval(look, POLL_MS).unref();
  const minutes = BUILD_TIMEOUT_MS / 60_000;
  const timer = setTimeout(() => end("timed_out", `it took longer than ${minutes} minutes`), BUILD_TIMEOUT_MS).unref();
  return {
    signal: AbortSignal.any([own.signal, ending]),
    look,
    reason: () => reason,
    [Symbol.dispose]() {
      clearInterval(poll);
      clearTimeout(timer);
    },
  };
}
