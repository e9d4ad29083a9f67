/** Some texts of the fuzzer with every run of the tests; `npm run fuzz` goes on from there. */
import { test } from "node:test";
import { fuzz } from "../../../../fuzz/cli-parsers.ts";

test("three thousand hostile texts give values that keep their rules, or usage errors", async () => {
  await fuzz({ seed: 1, iterations: 3000 });
});
