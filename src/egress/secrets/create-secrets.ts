/** Makes what secrets.ts describes. */
import { inspect } from "node:util";
import { matchesHost } from "../../policy/host-pattern.ts";
import type { ConnectionTarget, SecretHost } from "../../policy/spec.ts";
import type { RequestHead, ResponseHead } from "../http-heads.ts";
import { IncomingResponse, replacement } from "./incoming-secrets.ts";
import type { LeakRules, ReportLeak } from "./leak-log.ts";
import { OutgoingRequest } from "./outgoing-secrets.ts";
import { rewriteAll } from "./rewriter.ts";
import { SecretBook } from "./secret-book.ts";
import type { IncomingSecrets, LeakAction, OutgoingSecrets, SecretGrant, Secrets } from "./secrets.ts";

export interface SecretsOptions {
  grants: readonly { name: string; hosts: readonly SecretHost[] }[];
  /** Of the sandboxes that this one is a copy of. */
  former?: readonly { secret: string; placeholder: string }[];
  onLeak: LeakAction;
  /** Told once for each secret and place of a request. @param head as it came from the guest */
  report: ReportLeak;
}

/** Texts without a secret that are remembered, and the longest of them: logs say the same again and again. */
const KNOWN_TEXTS = 64;
const KNOWN_TEXT_CHARS = 512;
/** In the place of a text that is made to be expensive to search. */
const UNSEARCHABLE = "(a text that cannot be searched for secrets)";

/** Each secret gets a placeholder of its own; values are given by `setValue`. */
export function createSecrets({ grants, former, onLeak, report }: SecretsOptions): Secrets {
  return new SandboxSecrets(new SecretBook(grants, former), { onLeak, report });
}

class SandboxSecrets implements Secrets {
  readonly #book: SecretBook;
  readonly #rules: LeakRules;
  readonly #harmless = new Set<string>();

  constructor(book: SecretBook, rules: LeakRules) {
    this.#book = book;
    this.#rules = rules;
  }

  get grants(): readonly SecretGrant[] {
    return this.#book.secrets.map(({ grant }) => grant);
  }

  concerns({ host, port }: ConnectionTarget): boolean {
    return this.#book.secrets.some(({ grant }) =>
      grant.hosts.some((own) => (own.port === null || own.port === port) && matchesHost(own.host, host)),
    );
  }

  setValue(name: string, value: string): void {
    this.#harmless.clear();
    this.#book.setValue(name, value);
  }

  openRequest(head: RequestHead): OutgoingSecrets {
    return new OutgoingRequest(this.#book, head, this.#rules);
  }

  openResponse(request: RequestHead, head: ResponseHead): IncomingSecrets {
    return new IncomingResponse(this.#book, request, head);
  }

  scrubText(text: string): string {
    if (this.#harmless.has(text)) return text;
    const data = Buffer.from(text);
    const search = this.#book.inResponses;
    try {
      if (!search.occursIn(data)) {
        if (this.#harmless.size >= KNOWN_TEXTS) this.#harmless.clear();
        if (text.length <= KNOWN_TEXT_CHARS) this.#harmless.add(text);
        return text;
      }
      return rewriteAll(data, search, (match) => replacement(match, null, false)).toString();
    } catch {
      return UNSEARCHABLE;
    }
  }

  /** Names only, wherever this ends up in a log. */
  toJSON(): unknown {
    return { secrets: this.#book.secrets.map(({ name }) => name) };
  }

  [inspect.custom](): string {
    return `Secrets { ${this.#book.secrets.map(({ name }) => name).join(", ")} }`;
  }
}
