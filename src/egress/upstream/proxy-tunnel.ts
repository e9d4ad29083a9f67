/** Asks an HTTP proxy for a tunnel (RFC 9110, 9.3.6). The proxy is the user's, its answer is bounded all the same. */
import type { Socket } from "node:net";
import { renderTarget } from "../../policy/render.ts";
import type { ConnectionTarget } from "../../policy/spec.ts";
import { shown } from "./failures.ts";
import type { Proxy } from "./proxy-choice.ts";
import { UpstreamError } from "./upstream.ts";

const MAX_HEAD_BYTES = 16 * 1024;
const END_OF_HEAD = "\r\n\r\n";

/**
 * Turns a connection to a proxy into one to `target`. What the target has sent already stays in the socket. Destroys
 * the socket if it fails.
 *
 * @throws UpstreamError
 */
export async function openTunnel(
  socket: Socket,
  proxy: Proxy,
  target: ConnectionTarget,
  options: { signal: AbortSignal; timeoutMs: number },
): Promise<void> {
  const authority = renderTarget(target);
  const authorization = proxy.authorization === null ? "" : `Proxy-Authorization: ${proxy.authorization}\r\n`;
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${authorization}${END_OF_HEAD.slice(2)}`);
  try {
    checkStatus(await readHead(socket, renderTarget(proxy), options), proxy, authority);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function readHead(
  socket: Socket,
  name: string,
  { signal, timeoutMs }: { signal: AbortSignal; timeoutMs: number },
): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      socket.off("readable", onReadable);
      socket.off("close", onClose);
      socket.off("end", onClose);
    };
    const fail = (error: UpstreamError) => {
      settle();
      reject(error);
    };
    const onAbort = () => fail(new UpstreamError("aborted", `connecting by way of the proxy ${name} was aborted`));
    const onClose = () => fail(new UpstreamError("proxy", `the proxy ${name} closed the connection`));
    // Not by "data": the socket must be neither flowing nor paused when it is handed on.
    const onReadable = () => {
      for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
        received = Buffer.concat([received, chunk]);
        const end = received.indexOf(END_OF_HEAD, 0, "latin1");
        if (end === -1 && received.length <= MAX_HEAD_BYTES) continue;
        if (end === -1 || end > MAX_HEAD_BYTES) {
          fail(new UpstreamError("proxy", `the proxy ${name} answered with more than ${MAX_HEAD_BYTES} bytes`));
          return;
        }
        settle();
        const rest = received.subarray(end + END_OF_HEAD.length);
        if (rest.length > 0) socket.unshift(rest);
        resolve(received.toString("latin1", 0, end));
        return;
      }
    };
    const timer = setTimeout(() => {
      fail(new UpstreamError("timeout", `the proxy ${name} did not answer within ${timeoutMs / 1000} s`));
    }, timeoutMs);
    signal.addEventListener("abort", onAbort);
    socket.on("readable", onReadable);
    socket.on("close", onClose);
    socket.on("end", onClose);
    if (signal.aborted) onAbort();
    else if (socket.destroyed) onClose();
  });
}

function checkStatus(head: string, proxy: Proxy, authority: string): void {
  const [, digits, reason = ""] = /^HTTP\/1\.[01] (\d{3})(?: ([^\r\n]*))?(?:\r\n|$)/.exec(head) ?? [];
  const name = renderTarget(proxy);
  if (digits === undefined) throw new UpstreamError("proxy", `the proxy ${name} does not answer as an HTTP proxy does`);
  if (digits.startsWith("2")) return;
  if (digits === "407") {
    const advice =
      proxy.authorization === null ? "wants a user and a password in its URL" : "refused its user or password";
    throw new UpstreamError("proxy", `the proxy ${name} ${advice}`);
  }
  throw new UpstreamError("proxy", `the proxy ${name} refused ${authority}: ${digits} ${shown(reason)}`.trimEnd());
}
