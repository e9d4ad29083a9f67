/**
 * A hunt for the value of a secret: everywhere but at the host it belongs to. A program in the guest uses it in every way
 * and keeps all that comes back from an upstream that echoes it in every way; then guest memory, disks, logs, the state
 * of sbx and what the host's processes show of themselves are searched.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import type { EchoServer } from "./support/echo-server.ts";
import { echoingUpstream, spell } from "./support/echoing-upstream.ts";
import { findDescendant, findInFile, findInMemory, findInProcesses } from "./support/value-search.ts";
import { findForms, valueForms } from "./support/value-forms.ts";
import { World } from "./support/world.ts";

const SCRIPT = path.join(import.meta.dirname, "guest", "secret-hunt.py");
const HOST = "api.example.com";
const ATTEMPTS = 55;
/** Templates are large. */
const READ_BYTES = 16 * 1024 * 1024;

let world: World;
let approved: EchoServer;
let plain: EchoServer;
let box: string;
let said: Map<string, string>;

before(async () => {
  world = await World.open();
  approved = await world.https(HOST, "93.184.216.35", echoingUpstream());
  world.names.set("plain.example.com", "93.184.216.36");
  plain = await world.serve({ address: "93.184.216.36", port: 80 });
  delete world.home.env.API_KEY;
  await world.home.must(["secret", "set", "API_KEY", "--host", HOST], { input: world.secret });
  box = await world.home.create(
    ...["--allow-net", `${HOST}:443`, "--allow-net", "plain.example.com:80"],
    ...["--secret", `API_KEY@${HOST}`, "--ca-file", world.caFile],
  );
  await world.home.must(["cp", SCRIPT, `${box}:/app/secret-hunt.py`]);
  const words = ["python3", "/app/secret-hunt.py", HOST, "/app/received"];
  const output = await world.home.must(["exec", box, "--", ...words], { deadlineMs: 540_000 });
  said = new Map(
    output.split("\n").map((line) => {
      const { attempt, said } = JSON.parse(line) as { attempt: string; said: string };
      return [attempt, said];
    }),
  );
  await world.home.must(["cp", `${box}:/app/received`, world.home.scratch("received")]);
});
after(async () => world[Symbol.asyncDispose]());

function seen(label: string): string {
  const request = approved.seen.find(({ headers }) => headers["x-label"] === label);
  return request === undefined ? "nothing" : JSON.stringify([request.url, request.headers, request.body]);
}

test("every attempt was made", (t) => {
  for (const [attempt, answer] of said) t.diagnostic(`${attempt}: ${answer}`);
  assert.equal(said.size, ATTEMPTS);
});

test("the approved host got the value wherever a program may put it", () => {
  const raw = JSON.stringify(world.secret).slice(1, -1);
  const inUrl = encodeURIComponent(world.secret);
  const expected: [label: string, form: string][] = [
    ["header", `"authorization":"Bearer ${raw}"`],
    ["other header", `"x-api-key":"${raw}"`],
    ["basic", `Basic ${Buffer.from(`user:${world.secret}`).toString("base64")}`],
    ["cookie", `token=${raw}; c=d`],
    ["json", JSON.stringify(JSON.stringify(world.secret)).slice(1, -1)],
    ["json in escapes", JSON.stringify(JSON.stringify(world.secret)).slice(1, -1)],
    ["gzipped json", JSON.stringify(JSON.stringify(world.secret)).slice(1, -1)],
    ["text", `before ${raw} after`],
    ["chunked", `xxx${raw}y`],
    ["split", `before ${raw} after`],
  ];
  for (const [label, form] of expected) assert.ok(seen(label).includes(form), `${label}: ${seen(label)}`);
  for (const label of ["query", "query in percent", "path", "form"]) {
    const request = approved.seen.find(({ headers }) => headers["x-label"] === label);
    const text = `${request?.url ?? ""}\n${request?.body ?? ""}`;
    assert.ok(decodeURIComponent(text).includes(world.secret) || text.includes(inUrl), `${label}: ${text}`);
  }
});

test("what stands elsewhere in a request that says by a header who asks stays the placeholder", () => {
  const spelled = ["spelled text", "spelled json", "spelled gzip", "spelled form", "spelled query", "spelled path"];
  for (const label of spelled) {
    assert.equal(said.get(label), "200", label);
    const request = approved.seen.find(({ headers }) => headers["x-label"] === label);
    const raw = JSON.stringify(world.secret).slice(1, -1);
    assert.ok(JSON.stringify(request?.headers.authorization).includes(raw), `${label}: the upstream knows who asks`);
    const { url = "", body = "" } = request ?? {};
    const coded = Buffer.from(body, "latin1");
    const text = `${url}\n${label === "spelled gzip" ? gunzipSync(coded).toString() : body}`;
    assert.ok(text.includes("DENO_SECRET_PLACEHOLDER_"), `${label}: ${text}`);
    assert.deepEqual(findForms(Buffer.from(text, "latin1"), world.secret), [], label);
  }
  assert.match(seen("query and body"), /before DENO_SECRET_PLACEHOLDER_[0-9a-f]+ after/);
  const inQuery = approved.seen.find(({ headers }) => headers["x-label"] === "query and body")?.url ?? "";
  assert.equal(decodeURIComponent(inQuery), `/see?key=${world.secret}`);
  const received = readFileSync(world.home.scratch("received"), "latin1");
  assert.ok(received.includes(spell("DENO_SECRET_PLACEHOLDER_")), "it was spelled");
  const bytes = Buffer.from(world.secret).toString("latin1");
  assert.ok(!received.includes(spell(bytes)) && !received.includes(spell(world.secret)));
  const pieces = received.matchAll(/"content":("(?:[^"\\]|\\.)*")/g);
  const joined = [...pieces].map(([, piece = '""']) => JSON.parse(piece) as string).join("");
  assert.ok(joined.includes("DENO_SECRET_PLACEHOLDER_"), "the events put together");
  assert.ok(!joined.includes(world.secret) && !joined.includes(bytes));
});

test("nothing that came back to the guest has the value in it, in any form", () => {
  const received = readFileSync(world.home.scratch("received"));
  assert.ok(received.includes("DENO_SECRET_PLACEHOLDER_"), "the upstream's echoes came, with the placeholder in them");
  assert.ok(received.length > 10_000);
  assert.deepEqual(findForms(received, world.secret), []);
});

test("a placeholder on its way to another host was kept back, and said so", async () => {
  for (const label of ["leak header", "leak query", "leak path"]) assert.equal(said.get(label), "403", label);
  assert.deepEqual(plain.seen, []);
  const events = (await world.home.must(["net", "log", box, "--json"])).split("\n");
  const leaks = events.filter((line) => line.includes('"kind":"leak"'));
  assert.ok(leaks.length >= 3, events.join("\n"));
});

test("the memory of the guest and of its virtual machine does not hold the value", async () => {
  const { vmPid } = await world.home.info(box);
  const qemu = findDescendant(vmPid ?? 0, /^qemu/);
  const found = await findInMemory(qemu, valueForms(world.secret));
  assert.ok(found.bytes > 100 * 1024 * 1024, `${found.bytes} bytes were searched`);
  assert.deepEqual(found.forms, []);
  const placeholder = await findInMemory(qemu, new Map([["placeholder", Buffer.from("DENO_SECRET_PLACEHOLDER_")]]));
  assert.deepEqual(placeholder.forms, ["placeholder"], "the search finds what is there");
});

test("no process shows the value in its arguments or its environment", () => {
  assert.deepEqual(findInProcesses(world.secret), []);
});

test("nothing on the disk has the value in it: guest disk, templates, logs, audit, database, stored secrets", async () => {
  await world.home.bash(box, "sync");
  assert.deepEqual(await searchHome(), []);
});

test("nor has anything after the supervisor was killed in the middle", async () => {
  const { supervisorPid } = await world.home.info(box);
  process.kill(supervisorPid ?? 0, "SIGKILL");
  await world.home.sbx(["list"]);
  assert.deepEqual(await searchHome(), []);
});

async function searchHome(): Promise<string[]> {
  const found: string[] = [];
  const visit = async (directory: string): Promise<void> => {
    for (const name of readdirSync(directory)) {
      const file = path.join(directory, name);
      if (!existsSync(file)) continue;
      const stats = statSync(file);
      // Links lead to the prepared templates; the images were there before there was a secret.
      if (stats.isDirectory() && name !== "images") await visit(file);
      else if (stats.isFile()) {
        const forms = await findInFile(createReadStream(file, { highWaterMark: READ_BYTES }), valueForms(world.secret));
        found.push(...forms.map((form) => `${file}: ${form}`));
      }
    }
  };
  await visit(world.home.path);
  return found;
}
