/** The contract of a runtime (test/contract), under real machines: on this machine, and through `sbx serve` beside it. */
import { mkdir } from "node:fs/promises";
import { after } from "node:test";
import { LOCAL_TARGET } from "../../src/runtime/contexts/target.ts";
import { DEFAULT_SETTINGS } from "../../src/runtime/defaults.ts";
import { localClientMachine } from "../../src/runtime/local/client-machine.ts";
import { openRemoteRuntime } from "../../src/runtime/remote/index.ts";
import { openRuntime } from "../../src/runtime/select.ts";
import { runtimeContract } from "../contract/runtime-contract.ts";
import { SdkServer } from "./support/sdk-server.ts";
import { openTestHome } from "./support/test-home.ts";

const home = await openTestHome();
after(async () => home[Symbol.asyncDispose]());

async function scratch(name: string): Promise<string> {
  const scratchPath = home.scratch(name);
  await mkdir(scratchPath);
  return scratchPath;
}

runtimeContract({
  title: "on this machine",
  open: async () => ({
    runtime: await openRuntime(DEFAULT_SETTINGS, { target: LOCAL_TARGET, home: home.path }),
    word: "here",
    scratchPath: await scratch("local"),
    [Symbol.asyncDispose]: async () => undefined,
  }),
});

runtimeContract({
  title: "of a server",
  open: async () => {
    const server = await SdkServer.open(home);
    const machine = localClientMachine(home.paths);
    return {
      runtime: await openRemoteRuntime({ endpoint: server.url, token: server.token ?? "", machine }),
      word: "there",
      scratchPath: await scratch("server"),
      [Symbol.asyncDispose]: async () => server[Symbol.asyncDispose](),
    };
  },
});
