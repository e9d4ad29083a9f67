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
    // Node's name for a server's side that is ready; `secureConnect` is the client's.
    socket.once("secure", () => {
      socket.off("_tlsError", onError);
      const name = typeof socket.servername === "string" ? socket.servername.toLowerCase() : null;
      if (name === null ? isIP(host) === 0 : name !== host) fail("the client changed the name in its TLS handshake");
      else resolve({ socket, protocol: socket.alpnProtocol === "h2" ? "h2" : "http/1.1" });
    });
    const onError = (error: Error): void => {
      fail(`the client broke off the TLS handshake: ${error.message}`, error);
    };
    socket.once("_tlsError", onError);
    socket.on("error", () => stream.destroy());
    socket.once("close", () => {
      stream.destroy();
      reject(new GuestTlsError("the client closed the connection in the TLS handshake"));
    });
  });
}
