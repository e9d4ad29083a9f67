/**
 * The guest's TLS, ended here with a certificate of the sandbox's own authority. The router has seen the ClientHello;
 * its name is checked once more, for a second one (after a HelloRetryRequest) need not repeat it.
 */
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { type SecureContext, TLSSocket } from "node:tls";

export interface GuestTls {
  socket: TLSSocket;
  protocol: "h2" | "http/1.1";
}

/** The guest did not finish the handshake, or not as it began it. */
export class GuestTlsError extends Error {
  override readonly name = "GuestTlsError";
}

/** The stream is destroyed if this rejects. @throws GuestTlsError */
export function acceptGuestTls(stream: Duplex, host: string, secureContext: SecureContext): Promise<GuestTls> {
  const socket = new TLSSocket(stream, {
    isServer: true,
    secureContext,
    requestCert: false,
    ALPNProtocols: ["h2", "http/1.1"],
  });
  return new Promise((resolve, reject) => {
    const fail = (message: string, cause?: unknown): void => {
      stream.destroy();
      reject(new GuestTlsError(message, { cause }));
    };
    // These two are Node's own names for what tls.Server waits for: `secure` is `secureConnect` on a server's side.
    socket.once("secure", () => {
      const name = typeof socket.servername === "string" ? socket.servername.toLowerCase() : null;
      if (name === null ? isIP(host) === 0 : name !== host) {
        fail("the client changed the name in its TLS handshake");
        return;
      }
      // As tls.Server does. HTTP/2 would wait for it.
      Object.assign(socket, { secureConnecting: false });
      resolve({ socket, protocol: socket.alpnProtocol === "h2" ? "h2" : "http/1.1" });
    });
    // A record that cannot be read, in the handshake or at any time later.
    socket.on("_tlsError", (error: Error) => fail(`the client broke off TLS: ${error.message}`, error));
    socket.on("error", () => stream.destroy());
    socket.once("close", () => fail("the client closed the connection in the TLS handshake"));
  });
}
