/** What the published API has no words for about apps: what production is and was, and how instances are kept. */
import * as z from "zod/mini";
import { APP_DOMAIN, INSTANCE_BOUNDS } from "./app-values.ts";
import { controlCall } from "./control-call.ts";
import { ref, text, time } from "./control-schema.ts";

/** Whole, as everywhere with apps. */
const byApp = () => z.object({ app: ref() });

const timeline = () =>
  z.object({
    slug: text(),
    app: z.object({ id: text(), slug: text() }),
    context: z.enum(["production", "development"]),
    /** The active one. */
    revision: z.nullable(text()),
    updatedAt: z.nullable(time()),
    domains: z.array(z.string().check(z.regex(APP_DOMAIN))),
  });

const bounded = ({ min, max }: { min: number; max: number }) => z.int().check(z.minimum(min), z.maximum(max));
const { idleMs, concurrency, instances } = INSTANCE_BOUNDS;
const settings = () =>
  z.object({ idleMs: bounded(idleMs), concurrency: bounded(concurrency), instances: bounded(instances) });

export const APP_CALLS = {
  "app.instances": controlCall(
    { scope: "read", summary: "How instances of one app are kept, or of all" },
    () => z.object({ app: z.optional(ref()) }),
    () => z.array(z.object({ id: text(), instances: settings() })),
  ),
  "app.configure": controlCall(
    { scope: "apps", summary: "Change how instances of an app are kept" },
    () => z.extend(byApp(), { instances: z.partial(settings()) }),
    settings,
  ),
  "app.timelines": controlCall({ scope: "read", summary: "Timelines of an app, with what is active" }, byApp, () =>
    z.array(timeline()),
  ),
  "app.activate": controlCall(
    { scope: "apps", answer: "progress", summary: "Make a revision production: the one before if none is named" },
    () => z.object({ app: ref(), revision: z.optional(ref()) }),
    timeline,
  ),
};
