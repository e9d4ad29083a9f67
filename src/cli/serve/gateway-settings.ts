/** Where the HTTP gateway of a control plane is to be: the option, else the configuration, else a port of its own. */
import type { GatewayConfig } from "../../server/config.ts";
import type { PublicGatewaySettings } from "../../server/gateway/public-gateway.ts";
import { findDoorListen, type DoorListen } from "./gateway-listen.ts";

/** Unless the port is taken: then a free one. */
export const DEFAULT_GATEWAY_LISTEN = "127.0.0.1:8443";
const HTTPS_PORT = 443;

/**
 * @param wish of the command line
 * @param file of the configuration
 * @returns undefined where there is to be no gateway
 * @throws SbxError `config_invalid`
 */
export function gatewaySettings(
  wish: DoorListen | undefined,
  config: GatewayConfig,
  file: string | undefined,
): Omit<PublicGatewaySettings, "directory"> | undefined {
  const place = { wish, configured: config.listen, key: "gateway.listen", file, fallback: DEFAULT_GATEWAY_LISTEN };
  const found = findDoorListen(place);
  if (found === undefined) return undefined;
  const { domain, certificate, key, isProxied } = config;
  const files = certificate === null || key === null ? undefined : { certificate, key };
  return {
    ...{ ...found, domain },
    tls: isProxied ? "proxy" : (files ?? "own"),
    publicPort: config.publicPort ?? (isProxied ? HTTPS_PORT : null),
  };
}
