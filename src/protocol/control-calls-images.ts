/** Calls about images. They are common to all organisations, and made on the server's own machine only. */
import * as z from "zod/mini";
import { controlCall } from "./control-call.ts";
import { amount, byRef, nothing, text, time } from "./control-schema.ts";

const image = () =>
  z.object({
    ...{ id: text(), names: z.array(text()), createdAt: time(), sizeBytes: amount() },
    ...{ architecture: text(), distribution: text(), kernel: text(), packages: z.array(text()) },
    registries: z.array(z.object({ tool: text(), host: text() })),
    isDefault: z.boolean(),
  });

export const IMAGE_CALLS = {
  "image.list": controlCall({ scope: "read", summary: "Images" }, nothing, () => z.array(image())),
  "image.get": controlCall({ scope: "read", summary: "One image" }, byRef, image),
};
