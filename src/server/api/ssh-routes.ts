/** SSH into a sandbox: a user name that is the secret (server/ssh). */
import { z } from "zod";
import { ApiError } from "../api-error.ts";
import { findRunning, findSandbox } from "../organisations/find-exactly.ts";
import type { SshDoor } from "../ssh/ssh-door.ts";
import { route, type Answer, type Call, type Route } from "./route.ts";

const path = "/api/v3/sandbox/:id/expose/ssh";

const loginObject = z.object({
  hostname: z.string(),
  username: z.string().meta({ description: "the secret: who has it is let in" }),
  port: z.int(),
});

async function mint({ tenant, params, caller, doors }: Call<unknown, unknown>): Promise<Answer> {
  const ssh = requireSsh(doors.ssh);
  const { id } = await findRunning(tenant.runtime, params.id ?? "");
  return { status: 200, body: ssh.mint(caller, id) };
}

async function revoke({ tenant, params, doors }: Call<unknown, unknown>): Promise<Answer> {
  const ssh = requireSsh(doors.ssh);
  const { id } = await findSandbox(tenant.runtime, params.id ?? "");
  ssh.revoke({ organisation: tenant.organisation, sandbox: id });
  return { status: 204 };
}

function requireSsh(ssh: SshDoor | undefined): SshDoor {
  if (ssh === undefined) throw new ApiError("NOT_FOUND", "this server does not offer SSH");
  return ssh;
}

export const SSH_ROUTES: readonly Route[] = [
  route({
    ...{ method: "POST", path, scope: "sandboxes" },
    summary: "A user name for SSH into a sandbox, good as long as that runs and the token holds",
    body: z.object({}),
    success: { status: 200, schema: loginObject },
    errors: ["NOT_FOUND", "SANDBOX_NOT_FOUND", "QUOTA_EXCEEDED"],
    handle: mint,
  }),
  route({
    ...{ method: "DELETE", path, scope: "sandboxes" },
    summary: "Take back all user names for SSH into a sandbox, and hang up on who uses them; of sbx's own",
    success: { status: 204, schema: null },
    errors: ["NOT_FOUND", "SANDBOX_NOT_FOUND"],
    handle: revoke,
  }),
];
