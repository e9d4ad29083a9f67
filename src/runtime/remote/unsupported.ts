/** What cannot be had of a server, said in one way. Nothing ever falls back to this machine. */
import { SbxError } from "../errors.ts";

/** @param what with its verb, such as `images cannot be built on a server` */
export function unsupported(what: string, hint?: string): SbxError {
  return new SbxError("unsupported", what, hint === undefined ? {} : { hint });
}

/**
 * An interface of the Runtime whose every method fails with that, and so do those of the interfaces within it. Where a
 * method returns an iterable, the first item fails.
 */
// The caller says which interface it is; nothing of it is there to be inferred from.
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
export function unsupportedApi<T extends object>(what: string, hint?: string): T {
  return refusing(() => unsupported(what, hint)) as T;
}

function refusing(makeError: () => SbxError): object {
  const fail = (): Promise<never> & AsyncIterable<never> => {
    const error = makeError();
    const failed: Promise<never> = Promise.reject(error);
    // Whoever takes it for an iterable never waits for the promise.
    failed.catch(() => undefined);
    return Object.assign(failed, {
      [Symbol.asyncIterator]: () => ({ next: async () => Promise.reject(error) }),
    });
  };
  return new Proxy(fail, {
    // What is asked whether it is a promise is none.
    get: (_target, key) => (typeof key === "symbol" || key === "then" ? undefined : refusing(makeError)),
  });
}
