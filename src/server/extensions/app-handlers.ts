/** Apps of the caller's organisation: its runtime knows of no other. */
import type { APP_CALLS } from "../../protocol/control-calls-apps.ts";
import type { Admission, TimelineInfo } from "../../runtime/apps.ts";
import { domainsOf } from "../api/app-objects.ts";
import type { ControlContext, ControlHandlers } from "./handler.ts";

export const APP_HANDLERS: ControlHandlers<keyof typeof APP_CALLS> = {
  "app.timelines": async ({ app }, context) => {
    const timelines = await context.runtime.apps.timelines(app, { signal: context.signal });
    return timelines.map((timeline) => withDomains(timeline, context));
  },
  "app.activate": async ({ app, revision }, context) => {
    const { tenant, runtime, signal } = context;
    // The instance that it starts is a sandbox like others.
    const admit: Admission = async (demand, make) => tenant.admit(demand, make);
    return withDomains(await runtime.apps.activate(app, revision, { signal, admit }), context);
  },
};

function withDomains(timeline: TimelineInfo, context: ControlContext): TimelineInfo {
  return { ...timeline, domains: domainsOf(context, timeline) };
}
