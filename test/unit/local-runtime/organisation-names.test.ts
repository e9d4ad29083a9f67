/** Which organisations there are on this machine: those that have a home, and the user's own. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { listOrganisations } from "../../../src/runtime/local/organisations/organisation-paths.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

test("the user's own comes first, then those with a home, and nothing that is no name of one", (t) => {
  const directory = temporaryDirectory(t);
  assert.deepEqual(listOrganisations(directory), ["local"]);
  for (const name of ["zeta", "acme", "local", "Not-One", "..x"]) {
    mkdirSync(path.join(directory, "organisations", name), { recursive: true });
  }
  assert.deepEqual(listOrganisations(directory), ["local", "acme", "zeta"]);
});
