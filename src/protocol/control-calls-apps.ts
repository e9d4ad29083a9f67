/** What the published API has no words for about apps: what production is, and making it something else. */
import * as z from "zod/mini";
import { APP_DOMAIN } from "./app-values.ts";
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

export const APP_CALLS = {
  "app.timelines": controlCall({ scope: "read", summary: "Timelines of an app, with what is active" }, byApp, () =>
    z.array(timeline()),
  ),
  "app.activate": controlCall(
    { scope: "apps", answer: "progress", summary: "Make a revision production: the one before if none is named" },
    () => z.object({ app: ref(), revision: z.optional(ref()) }),
    timeline,
  ),
};
