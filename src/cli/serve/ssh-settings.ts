/** Where the SSH gateway of a control plane is to be: the option, else the configuration, else a port of its own. */
import type { SshConfig } from "../../server/config.ts";
import type { SshGatewaySettings } from "../../server/ssh/gateway.ts";
import { findDoorListen, type DoorListen } from "./gateway-listen.ts";

/** Unless the port is taken: then a free one. */
export const DEFAULT_SSH_LISTEN = "127.0.0.1:2222";
/**
 * @param wish of the command line
 * @param file of the configuration
 * @returns undefined where there is to be no SSH
 * @throws SbxError `config_invalid`
 */
export function sshSettings(
  wish: DoorListen | undefined,
  config: SshConfig,
  file: string | undefined,
): Omit<SshGatewaySettings, "directory"> | undefined {
  const place = { wish, configured: config.listen, key: "ssh.listen", file, fallback: DEFAULT_SSH_LISTEN };
  const found = findDoorListen(place);
  if (found === undefined) return undefined;
  const { publicHost, publicPort, hostKey } = config;
  return { ...{ ...found, publicHost, publicPort }, hostKeyPath: hostKey };
}
