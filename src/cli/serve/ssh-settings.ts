/** Where the SSH gateway of a control plane is to be: the option, else the configuration, else a port of its own. */
import { SbxError } from "../../runtime/errors.ts";
import type { SshConfig } from "../../server/config.ts";
import type { SshGatewaySettings } from "../../server/ssh/gateway.ts";
import { parseListenAddress, type ListenAddress } from "../parsers/listen-address.ts";

/** Unless the port is taken: then a free one. */
export const DEFAULT_SSH_LISTEN = "127.0.0.1:2222";
/** In place of an address: no SSH. */
const OFF = "off";

export type SshListen = ListenAddress | typeof OFF;

/** @throws SbxError `usage` */
export function parseSshListen(text: string): SshListen {
  return text === OFF ? OFF : parseListenAddress(text);
}

/**
 * @param wish of the command line
 * @param file of the configuration
 * @returns undefined where there is to be no SSH
 * @throws SbxError `config_invalid`
 */
export function sshSettings(
  wish: SshListen | undefined,
  config: SshConfig,
  file: string | undefined,
): Omit<SshGatewaySettings, "directory"> | undefined {
  const configured = config.listen === null ? undefined : parseConfigured(config.listen, file);
  const given = wish ?? configured;
  if (given === OFF) return undefined;
  const { publicHost, publicPort, hostKey } = config;
  const listen = given ?? parseListenAddress(DEFAULT_SSH_LISTEN);
  return { ...{ listen, orFreePort: given === undefined, publicHost, publicPort }, hostKeyPath: hostKey };
}

function parseConfigured(text: string, file: string | undefined): SshListen {
  try {
    return parseSshListen(text);
  } catch (error) {
    if (!(error instanceof SbxError)) throw error;
    throw new SbxError("config_invalid", `${file ?? ""}: ssh.listen: ${error.message}`, { hint: error.hint ?? "" });
  }
}
