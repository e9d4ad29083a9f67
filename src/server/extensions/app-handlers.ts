/** Apps of the caller's organisation: its runtime knows of no other. */
import type { APP_CALLS } from "../../protocol/control-calls-apps.ts";
import type { ControlHandlers } from "./handler.ts";

export const APP_HANDLERS: ControlHandlers<keyof typeof APP_CALLS> = {
  "app.timelines": async ({ app }, { runtime, signal }) => runtime.apps.timelines(app, { signal }),
  "app.activate": async ({ app, revision }, { tenant, runtime, signal }) =>
    // The instance that it starts is a sandbox like others.
    runtime.apps.activate(app, revision, { signal, admit: async (demand, make) => tenant.admit(demand, make) }),
};
