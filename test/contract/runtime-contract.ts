/**
 * What every runtime does, with the same words and the same answers: the contract that commands, the library and `sbx mcp`
 * rely on. Held against the runtime of this machine, and against a server's.
 */
import { after, before, describe } from "node:test";
import { commandContract } from "./command-contract.ts";
import { diskContract } from "./disk-contract.ts";
import { fileContract } from "./file-contract.ts";
import { lifeContract } from "./life-contract.ts";
import { networkContract } from "./network-contract.ts";
import { LASTING, type Place, type PlaceSource } from "./place.ts";

export function runtimeContract({ title, open }: PlaceSource): void {
  describe(`a runtime ${title}`, { timeout: 300_000 }, () => {
    let opened: (Place & AsyncDisposable) | undefined;
    const place = (): Place => {
      if (opened === undefined) throw new Error("the place is not open");
      return opened;
    };

    before(async () => {
      const parts = await open();
      const spec = { ...LASTING, name: "contract", labels: { suite: "contract" }, env: { COLOUR: "green" } };
      opened = { ...parts, sandbox: await parts.runtime.create(spec) };
    });

    after(async () => {
      if (opened === undefined) return;
      const { runtime, sandbox } = opened;
      await sandbox[Symbol.asyncDispose]();
      await runtime.remove(sandbox.id);
      await runtime[Symbol.asyncDispose]();
      await opened[Symbol.asyncDispose]();
    });

    commandContract(place);
    fileContract(place);
    networkContract(place);
    diskContract(place);
    // Last: it ends the sandbox.
    lifeContract(place);
  });
}
