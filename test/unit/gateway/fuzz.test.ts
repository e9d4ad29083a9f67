/** Some thousand clients of the HTTP gateway; `npm run fuzz -- gateway-requests` runs more. */
import { test } from "node:test";
import { fuzz } from "../../../fuzz/gateway-requests.ts";

test("requests are cut as a server would cut them, from random and mutated bytes in any pieces", async () => {
  await fuzz({ seed: 20_26, iterations: 2000 });
});
