/** The secrets of one sandbox, their values, and what has to be looked for because of them. */
import { matchesHost } from "../../policy/host-pattern.ts";
import type { ConnectionTarget, SecretHost } from "../../policy/spec.ts";
import { SbxError } from "../../runtime/errors.ts";
import { WaitingBytes } from "./body-streams.ts";
import { Needle } from "./needle.ts";
import { NeedleSearch } from "./needle-search.ts";
import { newPlaceholder, PLACEHOLDER_PREFIX } from "./placeholder.ts";
import type { SecretGrant } from "./secrets.ts";

/** Shorter ones cannot be kept out of responses: they occur everywhere. */
export const MIN_VALUE_BYTES = 4;
/** A shorter value is not looked for in base64 and hexadecimal, and not in requests: it would be found by chance. */
export const MIN_DISTINCT_BYTES = 8;
export const MAX_VALUE_BYTES = 16 * 1024;
/** The latest of a secret's earlier values that are remembered. */
export const MAX_FORMER_VALUES = 32;

/** What was found in a message. */
export type Finding =
  | { kind: "placeholder"; secret: HeldSecret }
  | { kind: "value"; text: string; current: HeldSecret[]; all: HeldSecret[] };

export interface RequestOrigin extends ConnectionTarget {
  scheme: "http" | "https";
}

export class HeldSecret {
  readonly grant: SecretGrant;
  /** Bytes of {@link SecretGrant.placeholder}. */
  readonly placeholderBytes: Buffer;
  #value: string | null = null;
  #former: string[] = [];

  constructor(name: string, hosts: readonly SecretHost[], placeholder = newPlaceholder()) {
    this.grant = { name, hosts, placeholder };
    this.placeholderBytes = Buffer.from(this.grant.placeholder);
  }

  /** Whether its placeholder is one of {@link SecretBook.former}. */
  get isFormer(): boolean {
    return this.grant.hosts.length === 0;
  }

  get name(): string {
    return this.grant.name;
  }

  /** `null` until one was given. */
  get value(): string | null {
    return this.#value;
  }

  get formerValues(): readonly string[] {
    return this.#former;
  }

  setValue(value: string): void {
    const former = this.#former.filter((known) => known !== value);
    if (this.#value !== null && this.#value !== value) former.push(this.#value);
    this.#former = former.slice(-MAX_FORMER_VALUES);
    this.#value = value;
  }

  belongsTo({ scheme, host, port }: RequestOrigin): boolean {
    return this.grant.hosts.some(
      (own) => own.scheme === scheme && (own.port === null || own.port === port) && matchesHost(own.host, host),
    );
  }
}

export class SecretBook {
  readonly secrets: readonly HeldSecret[];
  /**
   * Placeholders of the sandboxes that this one is a copy of: programs that went on in the copy still have them. They
   * belong to no host.
   */
  readonly former: readonly HeldSecret[];
  readonly waiting = new WaitingBytes();
  #inRequests: NeedleSearch<Finding> | null = null;
  #inResponses: NeedleSearch<Finding> | null = null;

  constructor(
    grants: readonly { name: string; hosts: readonly SecretHost[] }[],
    former: readonly { secret: string; placeholder: string }[] = [],
  ) {
    this.secrets = grants.map(({ name, hosts }) => new HeldSecret(name, hosts));
    this.former = former.map(({ secret, placeholder }) => new HeldSecret(secret, [], placeholder));
  }

  get hasValues(): boolean {
    return this.secrets.some(({ value }) => value !== null);
  }

  /** Placeholders, and values that the guest cannot have by right. Made when it is first needed. */
  get inRequests(): NeedleSearch<Finding> {
    this.#inRequests ??= new NeedleSearch([
      ...[...this.secrets, ...this.former].map(
        (secret) =>
          new Needle<Finding>(
            secret.grant.placeholder,
            { kind: "placeholder", secret },
            { anyCase: true, coded: true },
          ),
      ),
      ...this.#valueNeedles(MIN_DISTINCT_BYTES),
    ]);
    return this.#inRequests;
  }

  /** Values, the former ones included. */
  get inResponses(): NeedleSearch<Finding> {
    this.#inResponses ??= new NeedleSearch(this.#valueNeedles(MIN_VALUE_BYTES));
    return this.#inResponses;
  }

  /** @throws SbxError `usage`, which does not say the value */
  setValue(name: string, value: string): void {
    const secret = this.secrets.find((held) => held.name === name);
    if (secret === undefined) throw new SbxError("usage", `the sandbox has no secret ${JSON.stringify(name)}`);
    const wrong = findFault(value);
    if (wrong !== null)
      throw new SbxError("usage", `the value of the secret ${name} ${wrong.what}`, { hint: wrong.hint });
    if (secret.value === value) return;
    secret.setValue(value);
    this.#inRequests = null;
    this.#inResponses = null;
  }

  #valueNeedles(minBytes: number): Needle<Finding>[] {
    const findings = new Map<string, Finding & { kind: "value" }>();
    for (const secret of this.secrets) {
      const current = secret.value === null ? [] : [secret.value];
      for (const text of [...current, ...secret.formerValues]) {
        const finding = findings.get(text) ?? { kind: "value", text, current: [], all: [] };
        finding.all.push(secret);
        if (text === secret.value) finding.current.push(secret);
        findings.set(text, finding);
      }
    }
    return [...findings]
      .filter(([text]) => Buffer.byteLength(text) >= minBytes)
      .map(
        ([text, finding]) =>
          new Needle<Finding>(text, finding, {
            anyCase: false,
            coded: Buffer.byteLength(text) >= MIN_DISTINCT_BYTES,
          }),
      );
  }
}

/** What a value may not be, without saying what it is. */
function findFault(value: string): { what: string; hint: string } | null {
  const bytes = Buffer.byteLength(value);
  if (bytes < MIN_VALUE_BYTES) {
    return {
      what: `has fewer than ${MIN_VALUE_BYTES} bytes, so it could not be kept out of responses`,
      hint: "give the whole value",
    };
  }
  if (bytes > MAX_VALUE_BYTES) {
    return { what: `has more than ${MAX_VALUE_BYTES} bytes`, hint: "a secret is a key, not a file" };
  }
  if (/[\u0000-\u001f\u007f]/.test(value)) {
    return {
      what: "has a line break or another control character, which no header can carry",
      hint: "give it without the line break at its end",
    };
  }
  if (!value.isWellFormed()) return { what: "is not well-formed Unicode", hint: "give it as UTF-8" };
  if (value.includes(PLACEHOLDER_PREFIX) || PLACEHOLDER_PREFIX.includes(value)) {
    return { what: "looks like a placeholder", hint: "give the value itself, outside of the sandbox" };
  }
  return null;
}
