/** What `sbx serve` says when it is there. */
import { isLoopback } from "../parsers/listen-address.ts";
import { quoteWord } from "../output/shell-quote.ts";
import type { BackgroundServer } from "../serve/background-server.ts";
import type { RunningServer } from "../serve/run-server.ts";

/** In a shell: what the variable holds already, and a blank behind it. */
const KEEPING_OTHERS = '"${NODE_OPTIONS:+$NODE_OPTIONS }"';

/** Lines for a shell, after which the published SDKs speak to the server, and programs to servers of its sandboxes. */
export function environmentLines({ url, token, access }: Pick<RunningServer, "url" | "token" | "access">): string[] {
  const { certificatePath, preloadPath } = access;
  const certificate = certificatePath === null ? null : quoteWord(certificatePath);
  return [
    `export DENO_DEPLOY_ENDPOINT=${url}`,
    `export DENO_SANDBOX_ENDPOINT=${url}`,
    ...(token === undefined ? [] : [`export DENO_DEPLOY_TOKEN=${token}`]),
    ...(certificate === null ? [] : [`export NODE_EXTRA_CA_CERTS=${certificate}`, `export DENO_CERT=${certificate}`]),
    ...(preloadPath === null
      ? []
      : [`export NODE_OPTIONS=${KEEPING_OTHERS}${quoteWord(`--require=${nodeWord(preloadPath)}`)}`]),
  ];
}

export function serverJson({ url, token, ssh, gateway }: RunningServer): Record<string, unknown> {
  const { domain, port, certificatePath } = gateway ?? {};
  return {
    ...{ url, token: token ?? null, ssh: ssh ?? null },
    gateway: gateway === undefined ? null : { domain, port, certificate: certificatePath },
  };
}

/** Of a name below the domain of a gateway. */
export function gatewayUrl(name: string, { domain, port }: { domain: string; port: number }): string {
  return `https://${name}.${domain}${port === 443 ? "" : `:${port}`}`;
}

/** What a user has to know of a server that goes on. */
export function backgroundNotice({ isNew, pid, logPath }: BackgroundServer): string {
  const began = isNew ? "was started in the background" : "runs already";
  return `sbx serve ${began} (process ${pid}, log ${logPath}); sbx serve --stop ends it`;
}

/** What a user of the URLs has to know beside the lines. */
export function gatewayNotices({
  gateway,
  access,
  listen,
}: Pick<RunningServer, "gateway" | "access" | "listen">): string[] {
  if (gateway === undefined) return [];
  const { domain, certificatePath } = gateway;
  const urls = `servers of sandboxes get URLs such as ${gatewayUrl("NAME", gateway)}`;
  const trust = certificatePath === null ? "" : `; curl: --cacert ${quoteWord(certificatePath)}`;
  const names =
    "this machine's resolver does not know names below localhost: programs other than browsers, curl, and Node with " +
    "the NODE_OPTIONS above find them once libnss-myhostname is installed";
  const elsewhere =
    "they lead to whoever opens them: for others than this machine give the gateway a domain (docs/gateway.md)";
  return [
    `${urls}${trust}`,
    ...(access.preloadPath === null ? [] : [names]),
    ...(domain === "localhost" && !isLoopback(listen) ? [elsewhere] : []),
  ];
}

/** As Node reads NODE_OPTIONS. */
function nodeWord(word: string): string {
  return /[\s"\\]/.test(word) ? `"${word.replaceAll(/["\\]/g, "\\$&")}"` : word;
}
