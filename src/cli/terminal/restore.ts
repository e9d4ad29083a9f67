/**
 * Putting the terminal right again, whatever happens: at the end of a session, when the process exits in any way that
 * Node notices, and after an uncaught error. (A terminal of a process that was killed with SIGKILL stays as it is.)
 */

const pending = new Set<() => void>();
let hooked = false;

/** Registers something to be undone; the result undoes it, at most once. */
export function undoLater(undo: () => void): Disposable {
  const once = (): void => {
    if (pending.delete(once)) undo();
  };
  pending.add(once);
  if (!hooked) {
    hooked = true;
    process.on("exit", undoEverything);
  }
  return { [Symbol.dispose]: once };
}

/** Undoes what is still registered, the latest first. For the uncaught-error handler; safe at any time. */
export function undoEverything(): void {
  for (const undo of [...pending].reverse()) {
    try {
      undo();
    } catch {
      // The terminal may be gone (EIO); there is nothing left to put right then, and others must still be undone.
      continue;
    }
  }
}
