/**
 * The head of a request as a server behind the gateway gets it. What a client says of where it comes from is worth
 * nothing: the fields in which gateways say so are the gateway's own.
 */

const HEAD_END = "\r\n\r\n";
/** RFC 7239 and its forerunners; `Proxy` becomes `HTTP_PROXY` in programs of CGI. */
const CLAIM = /^(?:forwarded|x-forwarded(?:-.+)?|x-real-ip|proxy|x-sbx-.+)$/;
const UPGRADE = /(?:^|,)[ \t]*upgrade[ \t]*(?:,|$)/i;
/**
 * What `Connection` may say (RFC 9110, 7.6.1). It names fields that the next one on the way is to drop: a server that is a
 * proxy itself would drop the gateway's own.
 */
const CONNECTION_OPTIONS: readonly string[] = ["close", "keep-alive", "upgrade", "te"];

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
  const isUpgrade = fields.some((field) => nameOf(field) === "connection" && UPGRADE.test(valueOf(field)));
  const closes = isOnce && !isUpgrade;
  const isKept = (field: string): boolean => {
    const name = nameOf(field);
    if (name === "host" || (name === "connection" && closes)) return false;
    return !CLAIM.test(name) || (name === "x-forwarded-for" && address === null);
  };
  const lines = [
    request,
    `Host: ${host}`,
    ...fields.filter(isKept).flatMap(withOwnOptions),
    ...(address === null ? [] : [`X-Forwarded-For: ${address}`]),
    "X-Forwarded-Proto: https",
    `X-Forwarded-Host: ${host}`,
    ...(closes ? ["Connection: close"] : []),
  ];
  return Buffer.from(`${lines.join("\r\n")}${HEAD_END}`, "latin1");
}

/** No field where nothing of it is left. */
function withOwnOptions(field: string): string[] {
  if (nameOf(field) !== "connection") return [field];
  const options = valueOf(field).split(",");
  const isOwn = (option: string): boolean => CONNECTION_OPTIONS.includes(option.trim().toLowerCase());
  if (options.every(isOwn)) return [field];
  const own = options.filter(isOwn).map((option) => option.trim());
  return own.length === 0 ? [] : [`Connection: ${own.join(", ")}`];
}

/** To many programs `X_Forwarded_For` is `X-Forwarded-For`: in the variables of CGI and WSGI they are one. */
function nameOf(field: string): string {
  return field.slice(0, field.indexOf(":")).toLowerCase().replaceAll("_", "-");
}

function valueOf(field: string): string {
  return field.slice(field.indexOf(":") + 1);
}
