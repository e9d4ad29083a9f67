/** Some conversations with the RPC server; `npm run fuzz -- rpc-server` has more. */
import { test } from "node:test";
import { fuzz } from "../../../fuzz/rpc-server.ts";

test("the RPC server keeps its protocol whatever client and guest say", async () => {
  await fuzz({ seed: 20_26, iterations: 1500 });
});
