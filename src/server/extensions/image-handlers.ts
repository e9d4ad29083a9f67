/** Images: common to all organisations, and the operator's to make and remove. */
import type { IMAGE_CALLS } from "../../protocol/control-calls-images.ts";
import type { ImageInfo } from "../../runtime/types.ts";
import type { ControlHandlers } from "./handler.ts";

export const IMAGE_HANDLERS: ControlHandlers<keyof typeof IMAGE_CALLS> = {
  "image.list": async (_none, { runtime, signal }) => runtime.images.list({ signal }),
  "image.get": async ({ ref }, { runtime, signal }): Promise<ImageInfo> => runtime.images.get(ref, { signal }),
};
