/**
 * A request that is answered here instead of upstream, and the words for it. The guest, the audit log and the user are
 * told the same; the guest's copy goes through {@link Secrets.scrubText}, since an error may quote what an upstream sent.
 */
import type { Decision } from "../../policy/spec.ts";
import type { FieldLines } from "../http-heads.ts";
import type { Leak } from "../secrets/secrets.ts";
import { UpstreamError } from "../upstream/upstream.ts";

export type RefusalCode =
  /** The policy, a secret or a hook said no. */
  | "blocked_by_sbx"
  /** The request names another host than its connection. */
  | "misdirected_request"
  | "bad_request"
  | "unsupported"
  | "overloaded"
  | "upstream_failed"
  | "hook_failed"
  | "internal_error";

export interface RefusalDetails {
  decision?: Decision;
  leak?: Leak;
  cause?: unknown;
}

export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly status: number;
  readonly code: RefusalCode;
  readonly decision: Decision | undefined;
  readonly leak: Leak | undefined;

  constructor(status: number, code: RefusalCode, message: string, details: RefusalDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.status = status;
    this.code = code;
    this.decision = details.decision;
    this.leak = details.leak;
  }

  /** Whether it was sbx that did not let it through, rather than an upstream that failed. */
  get denied(): boolean {
    return this.code !== "upstream_failed";
  }
}

export function deniedBy(decision: Decision): Refusal {
  return new Refusal(403, "blocked_by_sbx", decision.reason, { decision });
}

export function leakRefusal(leak: Leak): Refusal {
  if (leak.what === "former placeholder") {
    const message = `the placeholder of the secret ${leak.secret} in the ${leak.where} is from before this sandbox was copied: a program that is started anew gets the one that is valid here`;
    return new Refusal(403, "blocked_by_sbx", message, { leak });
  }
  const what = leak.what === "placeholder" ? "the placeholder" : "a value";
  const message = `${what} of the secret ${leak.secret} in the ${leak.where} is not for this host`;
  return new Refusal(403, "blocked_by_sbx", message, { leak });
}

/** What the guest hears of a failed upstream. */
export function upstreamRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (!(error instanceof UpstreamError)) {
    const message = error instanceof Error ? error.message : String(error);
    return new Refusal(502, "upstream_failed", message, { cause: error });
  }
  if (error.code === "address_denied") {
    const { decision } = error;
    const details = decision === undefined ? { cause: error } : { decision, cause: error };
    return new Refusal(403, "blocked_by_sbx", decision?.reason ?? error.message, details);
  }
  return new Refusal(error.code === "timeout" ? 504 : 502, "upstream_failed", error.message, { cause: error });
}

export interface RefusalAnswer {
  status: number;
  fields: FieldLines;
  body: Buffer;
}

/** @param sandboxRef what the user calls the sandbox, for the command that would allow it */
export function refusalAnswer(refusal: Refusal, sandboxRef: string, scrub: (text: string) => string): RefusalAnswer {
  const { decision } = refusal;
  const fix = decision?.fix ?? null;
  const body = Buffer.from(
    `${JSON.stringify({
      error: refusal.code,
      message: scrub(refusal.message),
      ...(refusal.code === "blocked_by_sbx" ? { rule: decision?.rule?.text ?? null } : {}),
      ...(fix === null ? {} : { fix: commandLine(fix, sandboxRef) }),
    })}\n`,
  );
  const fields: [string, string][] = [
    ["content-type", "application/json"],
    ["content-length", String(body.length)],
    ["cache-control", "no-store"],
  ];
  if (refusal.denied) fields.push(["x-sbx-blocked", "1"]);
  return { status: refusal.status, fields, body };
}

function commandLine(words: readonly string[], sandboxRef: string): string {
  const all = words[0] === "sbx" ? words : ["sbx", ...words];
  return all.map((word) => quoted(word === "SANDBOX" ? sandboxRef : word)).join(" ");
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
