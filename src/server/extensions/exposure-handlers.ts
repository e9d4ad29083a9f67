/** URLs of sandboxes' ports, for clients of sbx's own: those of the gateway. */
import type { HttpDoor } from "../gateway/http-door.ts";
import { refuse, type ControlContext, type ControlHandlers } from "./handler.ts";

type Calls = "exposure.add" | "exposure.list" | "exposure.remove";

export const EXPOSURE_HANDLERS: ControlHandlers<Calls> = {
  "exposure.add": async ({ ref, guestPort }, context) => {
    const door = requireDoor(context);
    return door.expose(context, await idOf(ref, context), guestPort);
  },
  "exposure.list": async ({ ref }, context) => {
    const door = requireDoor(context);
    return door.list(context.tenant, await idOf(ref, context));
  },
  "exposure.remove": async ({ ref, guestPort }, context) => {
    const door = requireDoor(context);
    return door.remove(context.tenant, await idOf(ref, context), guestPort);
  },
};

/** The URLs that a sandbox's own supervisor gives are of this machine's loopback: of no use to anybody elsewhere. */
export function requireDoor({ doors }: ControlContext): HttpDoor {
  if (doors.http !== undefined) return doors.http;
  refuse("this server has no public address for servers in sandboxes", "sbx forward SANDBOX PORT");
}

async function idOf(ref: string, { runtime, signal }: ControlContext): Promise<string> {
  return (await runtime.get(ref, { signal })).id;
}
