/** Requests whose rules wait to be evaluated: what arrives together is evaluated together. */
import { FRAME } from "../../../protocol/agent-frames.ts";
import type { RequestTarget } from "../../../policy/spec.ts";
import type { HookLink } from "../hook-link.ts";
import { describeError } from "./describe-error.ts";
import type { ExpressionSet } from "./expression-set.ts";

/** So many share one time limit, and other work waits for them. */
const MAX_BATCH = 64;

interface Waiting {
  link: HookLink;
  id: number;
  target: RequestTarget;
}

export class Evaluations {
  readonly #expressions: ExpressionSet;
  #waiting: Waiting[] = [];

  constructor(expressions: ExpressionSet) {
    this.#expressions = expressions;
  }

  add(link: HookLink, id: number, target: RequestTarget): void {
    this.#waiting.push({ link, id, target });
    if (this.#waiting.length === 1) setImmediate(() => this.#evaluate());
  }

  #evaluate(): void {
    const batch = this.#waiting.splice(0, MAX_BATCH);
    if (this.#waiting.length > 0) setImmediate(() => this.#evaluate());
    try {
      const results = this.#expressions.evaluate(batch.map(({ target }) => target));
      for (const [index, { link, id }] of batch.entries()) link.send(FRAME.reply, id, { ok: results[index] });
    } catch (error) {
      for (const { link, id } of batch) link.send(FRAME.reply, id, { error: describeError(error) });
    }
  }
}
