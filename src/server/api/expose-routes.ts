/** Names under which the gateway serves a sandbox's servers (server/gateway). What one leads to, the RPC's `exposeHttp` says. */
import { z } from "zod";
import type { DomainTarget } from "../../runtime/domains.ts";
import { ApiError } from "../api-error.ts";
import type { HttpDoor } from "../gateway/http-door.ts";
import { findRunning } from "../organisations/find-exactly.ts";
import { route, type Answer, type Call, type Route } from "./route.ts";

/** The SDK for Python binds it with the same call, that for JavaScript with another one. */
const exposeBody = z
  .object({
    port: z.int().min(1).max(65_535).nullish(),
    pid: z
      .int()
      .min(1)
      .max(2 ** 22)
      .nullish(),
  })
  .refine(({ port, pid }) => port == null || pid == null, { error: "a port or a process, not both" });

const nameObject = z.object({
  domain: z.string().meta({ description: "what goes behind https://: who has it has access" }),
});

type ExposeCall = Call<unknown, z.output<typeof exposeBody>>;

async function exposeHttp({ tenant, caller, params, body, doors }: ExposeCall): Promise<Answer> {
  const door = requireDoor(doors.http);
  const { id } = await findRunning(tenant.runtime, params.id ?? "");
  const target: DomainTarget | null =
    body.port != null ? { guestPort: body.port } : body.pid != null ? { pid: body.pid } : null;
  return { status: 200, body: { domain: await door.mint({ tenant, tokenId: caller.tokenId }, id, "http", target) } };
}

async function exposeVscode({ tenant, caller, params, doors }: Call<unknown, unknown>): Promise<Answer> {
  const door = requireDoor(doors.http);
  const { id } = await findRunning(tenant.runtime, params.id ?? "");
  return { status: 200, body: { domain: await door.mint({ tenant, tokenId: caller.tokenId }, id, "vscode", null) } };
}

function requireDoor(door: HttpDoor | undefined): HttpDoor {
  if (door === undefined) throw new ApiError("NOT_FOUND", "this server has no gateway");
  return door;
}

const facts = {
  method: "POST",
  scope: "sandboxes",
  success: { status: 200, schema: nameObject },
  errors: ["NOT_FOUND", "SANDBOX_NOT_FOUND"],
} as const;

export const EXPOSE_ROUTES: readonly Route[] = [
  route({
    ...facts,
    path: "/api/v3/sandbox/:id/expose/http",
    summary: "A name for an HTTP server of a sandbox, good as long as that runs and the token holds",
    body: exposeBody,
    handle: exposeHttp,
  }),
  route({
    ...facts,
    path: "/api/v3/sandbox/:id/expose/vscode",
    summary: "The same for VS Code in a sandbox",
    body: z.object({}),
    handle: exposeVscode,
  }),
];
