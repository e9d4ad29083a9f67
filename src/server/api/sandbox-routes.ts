/** Sandboxes: their list, their end, their lifetime. They are made and used over WebSockets (http/upgrades.ts). */
import { z } from "zod";
import { lifetimeMs } from "../sandbox-config.ts";
import { findSandbox, notRunning } from "../organisations/find-exactly.ts";
import { sandboxObject, stopAtObject, toSandboxObject } from "./objects.ts";
import { answerPage, cursorParameter } from "./pagination.ts";
import { pythonDictionary } from "./python-dictionary.ts";
import { route, type Answer, type Call, type Route } from "./route.ts";

/** The SDK reads one page of this list, so a page is long. */
const MAX_SANDBOXES = 1000;
/** The latest time that a Date can hold (ECMA-262, 21.4.1.1), `ms`. */
const MAX_TIME_MS = 8.64e15;

const listQuery = z.object({
  limit: z.coerce.number().int().min(1).max(MAX_SANDBOXES).default(MAX_SANDBOXES),
  cursor: cursorParameter.optional(),
  labels: z.union([z.record(z.string(), z.string()), pythonDictionary]).default({}),
});

const extendBody = z.object({ stop_at_ms: z.number().min(-MAX_TIME_MS).max(MAX_TIME_MS) });

type ListCall = Call<z.output<typeof listQuery>, unknown>;

async function list({ tenant, query, url, signal }: ListCall): Promise<Answer> {
  const infos = await tenant.runtime.list({ labels: query.labels, signal });
  return answerPage(infos, query, url, toSandboxObject);
}

async function remove({ tenant, params }: Call<unknown, unknown>): Promise<Answer> {
  const { id } = await findSandbox(tenant.runtime, params.id ?? "");
  // Not ended half: a client that hangs up meanwhile has asked all the same.
  await tenant.runtime.remove(id);
  return { status: 204 };
}

async function extend(call: Call<unknown, z.output<typeof extendBody>>): Promise<Answer> {
  const { tenant, params, body, now } = call;
  const info = await findSandbox(tenant.runtime, params.id ?? "");
  if (info.status !== "running" && info.status !== "paused") {
    throw notRunning(info.id);
  }
  const ms = lifetimeMs(body.stop_at_ms, tenant.quotas, now);
  return { status: 200, body: { stop_at_ms: await tenant.runtime.extend(info.id, ms) } };
}

const listFacts = {
  method: "GET",
  scope: "read",
  query: listQuery,
  success: { status: 200, schema: z.array(sandboxObject) },
  errors: [],
  handle: list,
} as const;
const removeFacts = {
  method: "DELETE",
  scope: "sandboxes",
  success: { status: 204, schema: null },
  errors: ["SANDBOX_NOT_FOUND"],
  handle: remove,
} as const;

export const SANDBOX_ROUTES: readonly Route[] = [
  route({ ...listFacts, path: "/api/v2/sandboxes", summary: "Sandboxes, the newest first" }),
  route({ ...listFacts, path: "/api/v3/sandboxes", summary: "The same, where the SDK for Python looks" }),
  route({ ...removeFacts, path: "/api/v3/sandbox/:id", summary: "End a sandbox" }),
  route({ ...removeFacts, path: "/api/v3/sandboxes/:id", summary: "The same, where the SDK for Python looks" }),
  route({
    method: "PATCH",
    path: "/api/v3/sandbox/:id",
    summary: "Have a sandbox live longer; never shorter",
    scope: "sandboxes",
    body: extendBody,
    success: { status: 200, schema: stopAtObject },
    errors: ["SANDBOX_NOT_FOUND", "INVALID_CONFIG"],
    handle: extend,
  }),
];
