/** `sbx serve`: this machine as a sandbox service. */
import * as Flags from "@oclif/core/flags";
import { PlainCommand } from "../cli/plain-command.ts";
import { switchFlag } from "../cli/flags/common.ts";
import { serverDataFlag } from "../cli/flags/server.ts";
import { prose } from "../cli/output/prose.ts";
import { isLoopback, parseListenAddress, type ListenAddress } from "../cli/parsers/listen-address.ts";
import { ensureServer, stopServer } from "../cli/serve/background-server.ts";
import { parseDoorListen, type DoorListen } from "../cli/serve/gateway-listen.ts";
import { DEFAULT_GATEWAY_LISTEN } from "../cli/serve/gateway-settings.ts";
import { DEFAULT_LISTEN, runServer, type RunningServer } from "../cli/serve/run-server.ts";
import { DEFAULT_SSH_LISTEN } from "../cli/serve/ssh-settings.ts";
import { backgroundNotice, environmentLines, gatewayNotices, serverJson } from "../cli/view/serve-view.ts";

export default class Serve extends PlainCommand {
  static override summary = "Serve sandboxes to programs that use the Deno Sandbox API.";

  static override description = prose(`
Prints the lines for a shell after which the official SDKs make their sandboxes here, and serves until it is interrupted.
The first start also makes a token; sbx token makes more, for organisations that see nothing of each other. Sandboxes of
the organisation "local" are those that sbx list shows.

Sandboxes with a fixed lifetime outlive the server, and the next one finds them; those of a session end with their
connections. The log, one JSON object a line, goes to stderr.

The server speaks HTTP without TLS: beyond this machine, put a proxy with TLS in front of it. What sandboxes expose is served over TLS,
at a port of its own (docs/control-plane.md).`);

  static override examples = [
    { description: "On this machine", command: "<%= config.bin %> serve" },
    {
      description: "Elsewhere, with limits of its own",
      command: "<%= config.bin %> serve --listen 127.0.0.1:9000 --config limits.json",
    },
    {
      description: "For a script: JSON on stdout, then it serves",
      command: "<%= config.bin %> serve --listen 127.0.0.1:0 --json 2>server.log",
    },
  ];

  static override flags = {
    listen: Flags.custom<ListenAddress>({
      summary: `Address and port, ${DEFAULT_LISTEN} if absent; port 0 is a free one.`,
      helpValue: "ADDRESS:PORT",
      parse: async (text) => parseListenAddress(text),
    })(),
    "ssh-listen": Flags.custom<DoorListen>({
      summary: `The same for SSH, ${DEFAULT_SSH_LISTEN} or else a free port if absent; off for none.`,
      helpValue: "ADDRESS:PORT",
      parse: async (text) => parseDoorListen(text),
    })(),
    "gateway-listen": Flags.custom<DoorListen>({
      summary: `The same for HTTPS to servers of sandboxes, ${DEFAULT_GATEWAY_LISTEN} or else a free port if absent; off for none.`,
      helpValue: "ADDRESS:PORT",
      parse: async (text) => parseDoorListen(text),
    })(),
    data: serverDataFlag,
    token: Flags.boolean({ summary: "Make a token where there is none.", default: true, allowNo: true }),
    background: switchFlag({
      summary: "Go on in the background; nothing if there is one already.",
      exclusive: ["stop"],
    }),
    stop: switchFlag({ summary: "End the one that runs." }),
    config: Flags.string({ summary: "File of JSON with limits and more: docs/control-plane.md.", helpValue: "FILE" }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Serve);
    const { env, stderr } = this.context;
    const { signal } = this.interrupt;
    if (flags.stop) {
      const pid = await stopServer(flags.data, signal);
      this.notice(pid === undefined ? "no server runs" : `the server (process ${pid}) has ended`);
      return;
    }
    if (flags.background) {
      const server = await ensureServer(env, { data: flags.data, config: flags.config, signal });
      if (flags.json) this.printJson(server);
      else this.print(server.url);
      if (!flags.quiet && !flags.json) this.notice(backgroundNotice(server));
      return;
    }
    await using server = await runServer({
      ...{ listen: flags.listen, sshListen: flags["ssh-listen"], gatewayListen: flags["gateway-listen"] },
      ...{ data: flags.data, config: flags.config, makesToken: flags.token, stderr },
      ...{ settings: this.loadedSettings.settings, environment: env, version: this.config.version },
      now: () => this.context.now(),
    });
    this.#announce(server, flags);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  #announce(server: RunningServer, { json, quiet }: { json: boolean; quiet: boolean }): void {
    const { token, listen, ssh } = server;
    if (json) this.printJson(serverJson(server));
    else for (const line of environmentLines(server)) this.print(line);
    if (quiet || json) return;
    if (token === undefined)
      this.notice("tokens were made before, and are not shown again; another one: sbx token create");
    else this.notice("this token is shown this once; another one: sbx token create");
    if (ssh !== undefined) this.notice(`SSH is at ${ssh.hostname}, port ${ssh.port}; host key ${ssh.fingerprint}`);
    for (const notice of gatewayNotices(server)) this.notice(notice);
    if (!isLoopback(listen))
      this.notice("others can reach this port, and HTTP shows them tokens and secrets on their way");
  }
}
