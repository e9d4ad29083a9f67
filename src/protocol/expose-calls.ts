/**
 * Calls about a sandbox's HTTP URLs over its supervisor's Unix socket (0600, its user's alone): JSON bodies both ways.
 * Errors are `{ code, message, hint? }` with a status of 400 or above, as everywhere on that socket.
 *
 *     GET    /sbx/v1/exposures                 → Exposure[]
 *     POST   /sbx/v1/exposures   ExposeCall    → Exposure
 *     DELETE /sbx/v1/exposures/<guest port>    → Exposure
 */
import * as z from "zod/mini";

export const EXPOSURES_TARGET = "/sbx/v1/exposures";
/** A guest port, as it stands in a path. */
export const EXPOSED_PORT = /^[1-9]\d{0,4}$/;

/** Longest body of these calls, `bytes`. */
export const MAX_EXPOSE_BODY_BYTES = 4096;
/** URLs that one sandbox may have. */
export const MAX_EXPOSURES = 64;

const port = () => z.int().check(z.minimum(1), z.maximum(65_535));

/** Repeated for the same port of the guest, it answers what there is. */
export const exposeCall = () =>
  z.object({
    guestPort: port(),
    /** On this machine; where it is absent, that of the sandbox's other URLs, or a free one. */
    hostPort: z.optional(port()),
  });
export type ExposeCall = z.output<ReturnType<typeof exposeCall>>;

export const exposures = () =>
  z
    .array(
      z.object({
        guestPort: port(),
        hostPort: port(),
        /** Of the URL, without its port. Whoever knows it has access. */
        host: z.string().check(z.regex(/^[a-z0-9.-]{1,253}$/)),
        url: z.string().check(z.regex(/^https?:\/\/[a-z0-9.-]{1,253}(?::\d{1,5})?$/)),
        /** Epoch `ms`. */
        createdAt: z.number(),
      }),
    )
    .check(z.maxLength(MAX_EXPOSURES));
export type ExposureRecord = z.output<ReturnType<typeof exposures>>[number];
