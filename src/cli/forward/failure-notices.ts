/** Says once that connections to a target fail, and again when they failed after having worked: clients try often. */
import type { TunnelTarget } from "../../runtime/runtime.ts";
import { escapeLine } from "../output/escape.ts";
import { describeTarget } from "../parsers/forward-operand.ts";

export class FailureNotices {
  readonly #notice: (text: string) => void;
  readonly #failing = new Set<string>();

  constructor(notice: (text: string) => void) {
    this.#notice = notice;
  }

  succeeded(target: TunnelTarget): void {
    this.#failing.delete(describeTarget(target));
  }

  failed(target: TunnelTarget, error: unknown): void {
    const shown = describeTarget(target);
    if (this.#failing.has(shown)) return;
    this.#failing.add(shown);
    const text = error instanceof Error ? error.message : String(error);
    this.#notice(`no connection to ${shown} in the sandbox: ${escapeLine(text)}`);
  }
}
