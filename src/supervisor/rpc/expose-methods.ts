/** `exposeHttp` (deno-sandbox-protocol, section 3.8): a name that the control plane has made gets its server. */
import { CallError } from "./call-error.ts";
import type { Handlers } from "./session.ts";

export const EXPOSE_HANDLERS: Handlers<"exposeHttp"> = {
  exposeHttp: async ({ session }, { domain, port, pid }) => {
    const { state } = session;
    // A process that nobody knows is told now, and not to whoever opens the URL.
    const target = pid == null ? { port: port ?? 0 } : { pid: state.processes.get(pid).pid };
    if (await state.bindDomain(domain, target)) return null;
    throw new CallError({
      constructorName: "PermissionDenied",
      message: `${JSON.stringify(domain.slice(0, 256))} is no name of this sandbox: the control plane gives it one`,
    });
  },
};
