/** Where the HTTP gateway of a control plane is to be: the option, else the configuration, else a port of its own. */
import { SbxError } from "../../runtime/errors.ts";
import type { GatewayConfig } from "../../server/config.ts";
import type { PublicGatewaySettings } from "../../server/gateway/public-gateway.ts";
import { parseListenAddress, type ListenAddress } from "../parsers/listen-address.ts";

/** Unless the port is taken: then a free one. */
export const DEFAULT_GATEWAY_LISTEN = "127.0.0.1:8443";
/** In place of an address: no gateway. */
const OFF = "off";
const HTTPS_PORT = 443;

export type GatewayListen = ListenAddress | typeof OFF;

/** @throws SbxError `usage` */
export function parseGatewayListen(text: string): GatewayListen {
  return text === OFF ? OFF : parseListenAddress(text);
}

/**
 * @param wish of the command line
 * @param file of the configuration
 * @returns undefined where there is to be no gateway
 * @throws SbxError `config_invalid`
 */
export function gatewaySettings(
  wish: GatewayListen | undefined,
  config: GatewayConfig,
  file: string | undefined,
): Omit<PublicGatewaySettings, "directory"> | undefined {
  const configured = config.listen === null ? undefined : parseConfigured(config.listen, file);
  const given = wish ?? configured;
  if (given === OFF) return undefined;
  const { domain, certificate, key, isProxied } = config;
  const listen = given ?? parseListenAddress(DEFAULT_GATEWAY_LISTEN);
  const files = certificate === null || key === null ? undefined : { certificate, key };
  return {
    ...{ listen, orFreePort: given === undefined, domain },
    tls: isProxied ? "proxy" : (files ?? "own"),
    publicPort: config.publicPort ?? (isProxied ? HTTPS_PORT : null),
  };
}

function parseConfigured(text: string, file: string | undefined): GatewayListen {
  try {
    return parseGatewayListen(text);
  } catch (error) {
    if (!(error instanceof SbxError)) throw error;
    throw new SbxError("config_invalid", `${file ?? ""}: gateway.listen: ${error.message}`, { hint: error.hint ?? "" });
  }
}
