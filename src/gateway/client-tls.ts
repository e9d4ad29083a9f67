/**
 * TLS of a client, ended here. The name in its handshake is untrusted, and decides about nothing but the certificate; a
 * request in which another one stands is refused, lest a client's or a proxy's connection for one site carry another's.
 */
import type { Socket } from "node:net";
import { type SecureContext, TLSSocket } from "node:tls";
import type { Client } from "./client-connection.ts";

export interface GatewayTls {
  /** @param servername lower case; undefined where the client names none */
  contextFor(servername: string | undefined): SecureContext;
}

/** What a client names is a host name, and no longer than one. */
const SERVER_NAME = /^[a-z0-9._-]{1,253}$/;

export function acceptTls(raw: Socket, tls: GatewayTls): Client {
  let servername: string | undefined;
  raw.on("error", () => undefined); // "close" follows
  const socket = new TLSSocket(raw, {
    isServer: true,
    secureContext: tls.contextFor(undefined),
    requestCert: false,
    ALPNProtocols: ["http/1.1"],
    SNICallback(name, done) {
      servername = name.toLowerCase();
      try {
        done(null, tls.contextFor(SERVER_NAME.test(servername) ? servername : undefined));
      } catch (error) {
        done(error as Error);
      }
    },
  });
  // Node's own names for what tls.Server waits for.
  socket.once("secure", () => Object.assign(socket, { secureConnecting: false }));
  socket.on("_tlsError", () => socket.destroy());
  return {
    socket,
    reset: () => raw.resetAndDestroy(),
    isFor: (host) => servername === undefined || host.replace(/:\d+$/, "") === servername,
  };
}
