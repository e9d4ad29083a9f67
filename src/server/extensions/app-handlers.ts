/** Apps of the caller's organisation: its runtime knows of no other. */
import type { APP_CALLS } from "../../protocol/control-calls-apps.ts";
import { DEFAULT_INSTANCE_SETTINGS } from "../../protocol/app-values.ts";
import type { Admission, TimelineInfo } from "../../runtime/apps.ts";
import { domainsOf } from "../api/app-objects.ts";
import { defined, type ControlContext, type ControlHandlers } from "./handler.ts";

export const APP_HANDLERS: ControlHandlers<keyof typeof APP_CALLS> = {
  "app.instances": async ({ app }, { runtime: { apps }, signal }) => {
    const found = app === undefined ? await apps.list({ signal }) : [await apps.get(app, { signal })];
    return found.map(({ id, instances }) => ({ id, instances: instances ?? DEFAULT_INSTANCE_SETTINGS }));
  },
  "app.configure": async ({ app, instances }, { runtime, signal }) => {
    const changed = await runtime.apps.update(app, { instances: defined(instances) }, { signal });
    return changed.instances ?? DEFAULT_INSTANCE_SETTINGS;
  },
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
