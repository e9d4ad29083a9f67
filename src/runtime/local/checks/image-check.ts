/** Checks of the images. */
import { SbxError } from "../../errors.ts";
import type { CallOptions } from "../../runtime.ts";
import type { Check } from "../../types.ts";
import type { LocalImages } from "../images.ts";
import { failedBy, ok, warning } from "./check-result.ts";

/**
 * The image that sandboxes start from: there, whole, and with `verify` unchanged to the byte.
 *
 * @param ref name or id; the default image if `null`
 */
export async function checkImage(
  images: LocalImages,
  ref: string | null,
  options: CallOptions & { verify?: boolean } = {},
): Promise<Check> {
  const subject = { id: "image", title: "Image" };
  try {
    const image = await images.open(ref);
    if (options.verify === true) await images.verify(image.id, options);
    const { distribution, kernel } = image.manifest;
    const title = image.name ?? image.id.slice(0, 12);
    return ok(
      subject,
      `${title}: ${distribution}, kernel ${kernel}${options.verify === true ? ", every byte checked" : ""}`,
    );
  } catch (error) {
    options.signal?.throwIfAborted();
    // Not an obstacle: the first sandbox builds it.
    if (ref === null && error instanceof SbxError && error.code === "image_not_found") {
      return warning(subject, "the default image is not built yet", "sbx setup");
    }
    return failedBy(subject, error, "sbx setup --force");
  }
}
