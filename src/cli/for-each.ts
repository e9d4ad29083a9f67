/** One call for each of several things a user named: a failure of one does not keep the others from being tried. */
import { SbxError } from "../runtime/errors.ts";
import { isAbort } from "./errors/funnel.ts";

export interface Outcome<R> {
  /** Results of those that succeeded, in order. */
  results: R[];
  /** Throws if any failed: the error itself if it is one, else one that lists them. */
  throwFailures(what: string): void;
}

/** Calls `act` for each item, one after the other. An abort ends it at once. */
export async function forEachOf<T extends string, R>(
  items: readonly T[],
  act: (item: T) => Promise<R>,
): Promise<Outcome<R>> {
  const results: R[] = [];
  const failures: { item: T; error: unknown }[] = [];
  for (const item of items) {
    try {
      results.push(await act(item));
    } catch (error) {
      if (isAbort(error)) throw error;
      failures.push({ item, error });
    }
  }
  return { results, throwFailures: (what) => throwFailures(failures, items.length, what) };
}

function throwFailures(failures: readonly { item: string; error: unknown }[], count: number, what: string): void {
  const [first] = failures;
  if (first === undefined) return;
  if (count === 1) throw first.error;
  const { error } = first;
  const lines = failures.map(
    (failure) => `${failure.item}: ${failure.error instanceof Error ? failure.error.message : String(failure.error)}`,
  );
  throw new SbxError(
    error instanceof SbxError ? error.code : "internal",
    `${failures.length} of ${count} ${what} failed\n${lines.join("\n")}`,
    {
      ...(error instanceof SbxError && error.hint !== undefined ? { hint: error.hint } : {}),
    },
  );
}
