/** Opens a control plane from what the command line says. */
import { readFileSync } from "node:fs";
import type { Writable } from "node:stream";
import { SbxError } from "../../runtime/errors.ts";
import { OWN_ORGANISATION } from "../../runtime/organisations.ts";
import type { Settings } from "../../runtime/defaults.ts";
import type { ServerConfig } from "../../server/config.ts";
import type { GatewayFacts, SshFacts } from "../../server/serve.ts";
import type { DoorListen } from "./gateway-listen.ts";
import { gatewaySettings } from "./gateway-settings.ts";
import { sshSettings } from "./ssh-settings.ts";
import { SCOPES, type TokenStore } from "./token-access.ts";
import { recordServing } from "./serving-record.ts";
import { urlAccess, type UrlAccess } from "./url-access.ts";
import { parseListenAddress, type ListenAddress } from "../parsers/listen-address.ts";

export const DEFAULT_LISTEN = "127.0.0.1:8787";

const MAX_CONFIG_BYTES = 1024 * 1024;

export interface ServerWishes {
  listen: ListenAddress | undefined;
  sshListen: DoorListen | undefined;
  gatewayListen: DoorListen | undefined;
  /** Directory of its records. */
  data: string | undefined;
  /** Whether a token is made where there is none. */
  makesToken: boolean;
  /** Path of the configuration. */
  config: string | undefined;
  settings: Settings;
  environment: Readonly<Record<string, string | undefined>>;
  version: string;
  /** Of the log. */
  stderr: Writable;
  now: () => number;
}

export interface RunningServer extends AsyncDisposable {
  url: string;
  listen: ListenAddress;
  ssh: SshFacts | undefined;
  gateway: GatewayFacts | undefined;
  access: UrlAccess;
  /** One that was made because there was none: shown once. */
  token: string | undefined;
}

/** @throws SbxError `config_invalid`, `port_in_use`, and why the state cannot be opened */
export async function runServer(wishes: ServerWishes): Promise<RunningServer> {
  const [{ openServer }, { openServerLog }, select, store] = await Promise.all([
    import("../../server/serve.ts"),
    import("../../server/server-log.ts"),
    import("../../runtime/select.ts"),
    import("../../server/tokens/token-store.ts"),
  ]);
  const config = await loadConfig(wishes.config);
  const listen = wishes.listen ?? listenOf(config, wishes.config);
  const ssh = sshSettings(wishes.sshListen, config.ssh, wishes.config);
  const gateway = gatewaySettings(wishes.gatewayListen, config.gateway, wishes.config);
  const directory = await select.controlPlanePath(wishes.data);
  const tokens = store.TokenStore.open(directory);
  const log = openServerLog(wishes.stderr, wishes.now);
  try {
    const server = await openServer({
      ...{ listen, tokens, config, log, environment: wishes.environment },
      ...{ version: wishes.version, now: wishes.now },
      ...(ssh === undefined ? {} : { ssh: { ...ssh, directory } }),
      ...(gateway === undefined ? {} : { gateway: { ...gateway, directory } }),
      runtimes: await select.openOrganisations(wishes.settings, directory),
    });
    const isFirst = wishes.makesToken && tokens.list().length === 0;
    const token = isFirst ? firstToken(tokens, wishes.now()) : undefined;
    const { gateway: doorToApps } = server;
    const record = recordServing(directory, {
      url: server.url,
      gateway: doorToApps === undefined ? null : { domain: doorToApps.domain, port: doorToApps.port },
    });
    log.write("info", "listening", { url: server.url, ssh: server.ssh?.port, gateway: server.gateway?.port });
    return {
      ...{ url: config.publicUrl ?? server.url, listen, token, ssh: server.ssh, gateway: server.gateway },
      access: urlAccess(server.gateway),
      async [Symbol.asyncDispose]() {
        log.write("info", "draining");
        record[Symbol.dispose]();
        await server[Symbol.asyncDispose]();
        tokens[Symbol.dispose]();
        log.write("info", "stopped");
      },
    };
  } catch (error) {
    tokens[Symbol.dispose]();
    throw error;
  }
}

/** For a user who starts a server for the first time. */
function firstToken(tokens: TokenStore, now: number): string {
  const scopes = [...SCOPES];
  const life = { createdAt: now, expiresAt: null };
  return tokens.create({ name: "first", kind: "organisation", organisations: [OWN_ORGANISATION], scopes, ...life })
    .token;
}

async function loadConfig(path: string | undefined): Promise<ServerConfig> {
  const { defaultServerConfig, parseServerConfig } = await import("../../server/config.ts");
  if (path === undefined) return defaultServerConfig();
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new SbxError("config_invalid", `the configuration ${path} cannot be read`, {
      cause,
      hint: "see docs/control-plane.md",
    });
  }
  if (text.length > MAX_CONFIG_BYTES) throw new SbxError("config_invalid", `the configuration ${path} is too long`);
  return parseServerConfig(text, path);
}

function listenOf({ listen }: ServerConfig, path: string | undefined): ListenAddress {
  try {
    return parseListenAddress(listen ?? DEFAULT_LISTEN);
  } catch (error) {
    if (!(error instanceof SbxError)) throw error;
    throw new SbxError("config_invalid", `${path ?? ""}: listen: ${error.message}`, { hint: error.hint ?? "" });
  }
}
