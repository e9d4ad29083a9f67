/**
 * Calls about the names under which a control plane's gateway serves a sandbox, over the supervisor's Unix socket (0600,
 * its user's alone). The control plane announces a name; only then can it be bound to a server of the guest, by the same
 * call or by a client's `exposeHttp` (deno-sandbox-protocol, section 3.8).
 *
 *     GET    /sbx/v1/domains            → Domain[]
 *     POST   /sbx/v1/domains   call     → Domain    announces it; with a port or a process, binds it
 *     DELETE /sbx/v1/domains/<host>     → Domain
 *     GET    /sbx/v1/domains/<host>     connection: Upgrade, upgrade: sbx-http
 *                                       → 101, then a connection to the server that the name is bound to
 *
 * Behind the 101, and before it behind the request, is a parted stream (parted-stream.ts), both ways.
 */
import * as z from "zod/mini";

export const DOMAINS_TARGET = "/sbx/v1/domains";
export const HTTP_UPGRADE = "sbx-http";
/** Longest body of these calls, `bytes`. */
export const MAX_DOMAIN_BODY_BYTES = 4096;
/** Names that one sandbox may have. */
export const MAX_DOMAINS = 64;
/** A host name, as it stands in a path. */
export const DOMAIN_HOST =
  /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;

const port = () => z.int().check(z.minimum(1), z.maximum(65_535));
const pid = () => z.int().check(z.minimum(1), z.maximum(2 ** 22));
/** `name.example` or `name.example:8443`, as clients put it behind `https://`. */
const domain = () =>
  z.string().check(
    z.maxLength(259),
    z.refine((value) => DOMAIN_HOST.test(hostOf(value)) && /^[^:]+(?::[1-9]\d{0,4})?$/.test(value), {
      error: "must be a host name, perhaps with a port",
    }),
  );

export const domainCall = () =>
  z
    .object({ domain: domain(), port: z.optional(port()), pid: z.optional(pid()) })
    .check(
      z.refine((call) => call.port === undefined || call.pid === undefined, { error: "a port or a process, not both" }),
    );
export type DomainCall = z.output<ReturnType<typeof domainCall>>;

export const domains = () =>
  z
    .array(
      z.object({
        domain: domain(),
        /** Of the guest; neither is there where it is not bound yet. */
        port: z.nullable(port()),
        pid: z.nullable(pid()),
        /** Epoch `ms`. */
        createdAt: z.number(),
      }),
    )
    .check(z.maxLength(MAX_DOMAINS));
export type DomainRecord = z.output<ReturnType<typeof domains>>[number];

/** Without the port. */
export function hostOf(text: string): string {
  return text.replace(/:\d*$/, "").toLowerCase();
}
