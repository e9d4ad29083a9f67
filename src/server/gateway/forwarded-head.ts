/**
 * The head of a request as a server behind the gateway gets it. What a client says of where it comes from is worth
 * nothing: the fields in which gateways say so are the gateway's own.
 */

const HEAD_END = "\r\n\r\n";
/** RFC 7239 and its forerunners; `Proxy` becomes `HTTP_PROXY` in programs of CGI. */
const CLAIMS = /^(?:forwarded|x-forwarded(?:-[a-z-]+)?|x-real-ip|proxy|x-sbx-[a-z-]+):/i;
const FOR = /^x-forwarded-for:/i;
const HOST = /^host:/i;
const CONNECTION = /^connection:/i;
const UPGRADE = /\bupgrade\b/i;

export interface Forwarding {
  /** As clients know the server: `name.example` or `name.example:8443`. */
  host: string;
  /** Of the client, as the gateway sees it; null where a proxy in front of it says it. */
  address: string | null;
  /**
   * Whether the server is to close the connection after its answer: a proxy puts requests for several names into one, and a
   * connection to a server is for one.
   */
  isOnce: boolean;
}

/** @param head whole and well formed (gateway/request-head.ts), with its empty line */
export function forwardHead(head: Buffer, { host, address, isOnce }: Forwarding): Buffer {
  const [request = "", ...fields] = head.toString("latin1", 0, head.length - HEAD_END.length).split("\r\n");
  const isKept = (field: string): boolean => {
    if (HOST.test(field)) return false;
    if (FOR.test(field)) return address === null;
    if (isOnce && CONNECTION.test(field) && !UPGRADE.test(field)) return false;
    return !CLAIMS.test(field);
  };
  const isUpgrade = fields.some((field) => CONNECTION.test(field) && UPGRADE.test(field));
  const lines = [
    request,
    `Host: ${host}`,
    ...fields.filter(isKept),
    ...(address === null ? [] : [`X-Forwarded-For: ${address}`]),
    "X-Forwarded-Proto: https",
    `X-Forwarded-Host: ${host}`,
    ...(isOnce && !isUpgrade ? ["Connection: close"] : []),
  ];
  return Buffer.from(`${lines.join("\r\n")}${HEAD_END}`, "latin1");
}
