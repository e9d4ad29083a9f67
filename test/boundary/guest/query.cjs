/**
 * Asks a database by the published client, and prints the answer. Run by any-protocol.test.ts in a sandbox.
 *
 *   node query.cjs HOST PORT plain|tls
 */
const { Client } = require("pg");

const [host, port, mode] = process.argv.slice(2);

(async () => {
  const ssl = mode === "tls";
  const client = new Client({ host, port: Number(port), user: "app", password: process.env.API_KEY, database: "main", ssl });
  await client.connect();
  const { rows } = await client.query("select 'from the guest'");
  const second = await client.query("select 2");
  await client.end();
  console.log(JSON.stringify([rows, second.rows]));
})();
