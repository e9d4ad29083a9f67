/** Answers the supervisor's calls with the user's module and rules. */
import { FRAME } from "../../../protocol/agent-frames.ts";
import type { HookLink } from "../hook-link.ts";
import type { HostCallMessage, InitCall } from "../hook-messages.ts";
import { describeError } from "./describe-error.ts";
import { Evaluations } from "./evaluations.ts";
import { ExpressionSet } from "./expression-set.ts";
import { HostCall } from "./host-call.ts";
import { loadModule, type HookModule } from "./load-module.ts";
import { shareUnreadBodies } from "./share-bodies.ts";

export class Host {
  readonly #calls = new Map<number, HostCall>();
  #module: HookModule = { onRequest: undefined, onResponse: undefined };
  #sandbox: InitCall["sandbox"] = { id: "", name: "" };
  #evaluations: Evaluations | undefined;

  find(id: number): HostCall | undefined {
    return this.#calls.get(id);
  }

  /** Every call gets one REPLY. */
  call(link: HookLink, id: number, value: unknown): void {
    const message = value as HostCallMessage; // the supervisor's own words
    switch (message.kind) {
      case "ping":
        link.send(FRAME.reply, id, { ok: null });
        break;
      case "evaluate":
        this.#evaluations?.add(link, id, message.target);
        break;
      case "init":
        void this.#init(link, id, message);
        break;
      case "request":
      case "response":
        this.#runHook(link, id, message);
        break;
    }
  }

  async #init(link: HookLink, id: number, init: InitCall): Promise<void> {
    try {
      this.#sandbox = init.sandbox;
      if (init.expressions.length > 0) {
        this.#evaluations = new Evaluations(new ExpressionSet(init.expressions, init.expressionTimeLimitMs));
      }
      if (init.modulePath !== null) {
        shareUnreadBodies();
        this.#module = await loadModule(init.modulePath);
      }
      const { onRequest, onResponse } = this.#module;
      link.send(FRAME.reply, id, { ok: { onRequest: onRequest !== undefined, onResponse: onResponse !== undefined } });
    } catch (error) {
      link.send(FRAME.reply, id, { error: describeError(error, init.modulePath ?? undefined) });
    }
  }

  #runHook(link: HookLink, id: number, message: Extract<HostCallMessage, { kind: "request" | "response" }>): void {
    const call = new HostCall(link, id, message.body);
    this.#calls.set(id, call);
    const over = (): void => void this.#calls.delete(id);
    call.run(message, this.#module, this.#sandbox).then(over, over);
  }
}
