/** Calls about VS Code in a sandbox: its page has a URL of the server's gateway. */
import * as z from "zod/mini";
import { controlCall } from "./control-call.ts";
import { byRef, port, ref, text } from "./control-schema.ts";

export const EDITOR_CALLS = {
  "editor.open": controlCall(
    { scope: "sandboxes", answer: "progress", summary: "Have VS Code run in a sandbox, and give it a URL" },
    () => z.object({ ref: ref(), folder: z.optional(z.string().check(z.regex(/^\/[^\0]{0,4095}$/))) }),
    () => z.object({ url: text(), folder: text(), guestPort: port(), isNew: z.boolean() }),
  ),
  "editor.stop": controlCall({ scope: "sandboxes", summary: "End VS Code in a sandbox" }, byRef, () =>
    z.object({ stopped: z.boolean() }),
  ),
};
