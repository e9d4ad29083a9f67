/** Calls about the network of a sandbox: its policy, what it tried, new rules. */
import * as z from "zod/mini";
import { auditEvent, ruleSource } from "./audit-event.ts";
import { controlCall } from "./control-call.ts";
import { amount, byRef, count, port, ref, text } from "./control-schema.ts";
import { checkCall, rulesCall } from "./net-calls.ts";
import { LEAK_ACTIONS } from "./net-launch.ts";

/** As many of the last events of a log; it has no more. */
const MAX_TAIL = 1_000_000;

const verdict = () => z.enum(["allow", "deny"]);
const fix = () => z.nullable(z.array(text()));

const decision = () =>
  z.object({
    verdict: verdict(),
    rule: z.nullable(z.object({ id: text(), text: text(), source: ruleSource() })),
    reason: text(),
    fix: fix(),
  });

const row = () =>
  z.object({
    ...{ id: text(), verdict: verdict(), text: text(), kind: z.enum(["host", "expression"]), source: ruleSource() },
    warning: z.nullable(text()),
  });

const denial = () => z.object({ host: text(), port: z.nullable(port()), count: amount(), reason: text(), fix: fix() });

const secret = () =>
  z.object({
    name: text(),
    hosts: z.array(z.object({ host: text(), port: z.nullable(port()), scheme: z.enum(["http", "https"]) })),
    placeholder: text(),
    hasValue: z.boolean(),
  });

const counters = () =>
  z.object({
    ...{ openFlows: amount(), connections: amount(), requests: amount(), denied: amount(), leaks: amount() },
    ...{ sentBytes: amount(), receivedBytes: amount() },
  });

const view = () =>
  z.object({
    mode: z.enum(["none", "balanced", "open"]),
    rules: z.array(row()),
    secrets: z.array(secret()),
    onLeak: z.enum(LEAK_ACTIONS),
    inspect: z.boolean(),
    hook: z.nullable(z.object({ path: text(), state: z.enum(["running", "failed"]), detail: z.nullable(text()) })),
    counters: counters(),
    denied: z.array(denial()),
  });

export const NETWORK_CALLS = {
  "network.show": controlCall({ scope: "read", summary: "The policy of a running sandbox" }, byRef, view),
  "network.check": controlCall(
    { scope: "read", summary: "The verdict on a request or connection" },
    () => z.extend(checkCall(), { ref: ref() }),
    () =>
      z.object({
        decision: decision(),
        carried: z.nullable(z.enum(["tunnel", "intercept", "plain"])),
        secrets: z.array(text()),
      }),
  ),
  "network.change": controlCall(
    { scope: "sandboxes", summary: "New rules for a running sandbox" },
    () => z.extend(rulesCall(), { ref: ref() }),
    () => z.object({ rules: z.array(row()), stillDenied: z.array(z.object({ host: text(), decision: decision() })) }),
  ),
  "network.denied": controlCall({ scope: "read", summary: "What a running sandbox was refused" }, byRef, () =>
    z.array(denial()),
  ),
  "network.log": controlCall(
    { scope: "read", answer: "items", summary: "What a sandbox tried, the oldest first" },
    () =>
      z.object({
        ref: ref(),
        follow: z.optional(z.boolean()),
        tail: z.optional(count().check(z.maximum(MAX_TAIL))),
      }),
    /** An event, or how many could not be read. */
    () => z.union([z.object({ event: auditEvent() }), z.object({ damaged: count() })]),
  ),
};
