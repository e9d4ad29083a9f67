/** A process that stores five secrets: `store-many.ts DIRECTORY PREFIX`. */
import path from "node:path";
import { openDatabase } from "../../../../src/store/database.ts";
import { acquireLock } from "../../../../src/store/locks.ts";
import { systemKeyring } from "../../../../src/store/secrets/keyring.ts";
import { SecretVault } from "../../../../src/store/secrets/vault.ts";

const [directory = "", prefix = ""] = process.argv.slice(2);
const database = openDatabase(path.join(directory, "sbx.db"));
const vault = new SecretVault({
  directory,
  keyring: systemKeyring({ environment: { PATH: "/nowhere" } }),
  lock: async () => acquireLock(database, "secrets"),
});
for (let index = 0; index < 5; index++) {
  const source = { kind: "value" as const, value: `${prefix}-${index}` };
  await vault.put({ name: `${prefix}${index}`, hosts: [{ host: "a.test", port: null, scheme: "https" }], source });
}
database.close();
