/**
 * A connection that has to be read: a secret belongs to its host, or its requests are judged one by one. What cannot be
 * read is refused, because a secret's placeholder or a forbidden request might be in it.
 */
import type { Duplex } from "node:stream";
import type { Decision } from "../../policy/spec.ts";
import type { DecidedVerdict } from "./first-bytes.ts";
import type { Denial } from "./flow-log.ts";
import { checkReadHello } from "./hello-check.ts";
import type { OpenFlow, ServedFlow } from "./open-flow.ts";
import { refuseStream, type TlsAlert } from "./refuse-stream.ts";
import { Sniffer } from "./sniffer.ts";

export class ReadFlow implements ServedFlow {
  readonly isTunnel = false;
  readonly judgedAddress = null;
  readonly #open: OpenFlow;
  readonly #guest: Duplex;
  readonly #sniffer: Sniffer;
  readonly #deadline: NodeJS.Timeout;

  constructor(open: OpenFlow) {
    this.#open = open;
    this.#guest = open.flow.accept();
    this.#guest.on("error", this.#onError);
    this.#guest.once("close", this.#onClose);
    this.#deadline = setTimeout(() => this.#onDeadline(), open.services.limits.firstBytesMs);
    this.#sniffer = new Sniffer(this.#guest, {
      onVerdict: (verdict) => this.#onVerdict(verdict),
      onUndecided: () => undefined,
      onEnd: () => this.#onEnd(),
    });
  }

  get target() {
    return this.#open.target;
  }

  cut(decision: Decision | null): void {
    if (decision === null) this.#guest.destroy();
    else this.#refuse(decision, null);
  }

  #onVerdict(verdict: DecidedVerdict): void {
    const { services, facts, target } = this.#open;
    switch (verdict.kind) {
      case "tls": {
        const denial = checkReadHello(verdict.hello, target);
        if (denial !== null) this.#refuse(denial, "unrecognized_name");
        else this.#handOver((guest) => services.interceptor.serveTls(guest, { ...facts, hello: verdict.hello }));
        return;
      }
      case "http":
        this.#handOver((guest) => services.interceptor.servePlain(guest, facts));
        return;
      case "malformed":
        this.#refuse(unreadable(`its TLS handshake is not valid: ${verdict.reason}`), "decode_error");
        return;
      case "other":
        this.#refuse(unreadable("it is neither TLS nor HTTP"), null);
    }
  }

  #onDeadline(): void {
    this.#refuse(unreadable("it said nothing that can be read for too long"), null);
  }

  #handOver(serve: (guest: Duplex) => void): void {
    this.#release();
    this.#sniffer.giveBack();
    this.#open.handOver(this.#guest);
    serve(this.#guest);
  }

  #refuse(denial: Denial, alert: TlsAlert | null): void {
    this.#release();
    this.#sniffer.stop();
    this.#open.log.denied(denial);
    refuseStream(this.#guest, alert);
    this.#open.over(this.#guest);
  }

  #onEnd(): void {
    this.#guest.end();
  }

  // The stream is destroyed by it, and "close" follows.
  readonly #onError = () => undefined;

  readonly #onClose = () => {
    this.#release();
    this.#open.log.ended(this.#open.facts.decision, { error: "the guest ended it before it asked for anything" });
    this.#open.over();
  };

  #release(): void {
    clearTimeout(this.#deadline);
    this.#guest.off("error", this.#onError);
    this.#guest.off("close", this.#onClose);
  }
}

function unreadable(why: string): Denial {
  return { rule: null, reason: `the connection has to be read and cannot be: ${why}`, fix: null };
}
