/**
 * The programs that fetch code (git, pip, npm, deno), and clients with stacks of their own, in a real guest, told nothing
 * but where to look: by a tunnel, and by interception, where the server lets in nobody without the real value.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { execFileSync } from "node:child_process";
import type { EchoServer, SeenRequest } from "./support/echo-server.ts";
import { gitServer, makeRepository, type GitRepository } from "./support/git-server.ts";
import { Listening } from "./support/listening.ts";
import { makePackages, packageIndex } from "./support/package-index.ts";
import { World } from "./support/world.ts";

const OPEN = "packages.example.com";
const CLOSED = "private.example.com";
const OPEN_GIT = "git.example.com";
const CLOSED_GIT = "private-git.example.com";
const PLACEHOLDER = /DENO_SECRET_PLACEHOLDER_[0-9a-f]{64}/;

let world: World;
let open: EchoServer;
let closed: EchoServer;
let repository: GitRepository;
const gitSaw: (string | undefined)[] = [];
let box: string;

before(async () => {
  world = await World.open();
  const packages = makePackages(world.home.scratch("packages"));
  open = await world.https(OPEN, "93.184.216.34", { answer: packageIndex(packages, OPEN) });
  const shown = [`Bearer ${world.secret}`, `Basic ${Buffer.from(`user:${world.secret}`).toString("base64")}`];
  closed = await world.https(CLOSED, "93.184.216.35", { answer: packageIndex(packages, CLOSED, shown) });
  mkdirSync(world.home.scratch("git"));
  repository = makeRepository(world.home.scratch("git"));
  await serveGit(OPEN_GIT, "93.184.216.36", {});
  await serveGit(CLOSED_GIT, "93.184.216.37", {
    password: world.secret,
    sees: (authorization) => gitSaw.push(authorization),
  });
  box = await world.home.create(
    ...[OPEN, CLOSED, OPEN_GIT, CLOSED_GIT].flatMap((host) => ["--allow-net", `${host}:443`]),
    ...["--secret", `API_KEY@${CLOSED},${CLOSED_GIT}`, "--ca-file", world.caFile],
  );
});
after(async () => world[Symbol.asyncDispose]());

async function serveGit(host: string, address: string, options: Parameters<typeof gitServer>[2]): Promise<void> {
  world.names.set(host, address);
  const server = gitServer(repository, world.authority.identity(host), options);
  world.use(await Listening.start(server, address, 443));
}

/** What it says is `installed` by a tunnel, and by interception with the secret where this client has room for one. */
const INSTALLERS: readonly { name: string; tunnelled: string; intercepted: string }[] = [
  {
    name: "pip",
    ...bothWays(
      (url) =>
        `pip install --quiet --no-cache-dir --target "$(mktemp -d)" --index-url ${url}/simple tiny-sbx && echo installed`,
    ),
  },
  {
    name: "npm",
    tunnelled: `cd "$(mktemp -d)" && npm install --cache ./cache --registry https://${OPEN}/npm/ tiny-sbx >&2 && node -p 'require("tiny-sbx")'`,
    intercepted: `cd "$(mktemp -d)" && env "npm_config_//${CLOSED}/npm/:_authToken=$API_KEY" npm install --cache ./cache --registry https://${CLOSED}/npm/ tiny-sbx >&2 && node -p 'require("tiny-sbx")'`,
  },
  {
    name: "deno, which imports over https",
    tunnelled: `deno run --no-lock https://${OPEN}/deno/main.ts`,
    intercepted: `DENO_AUTH_TOKENS="$API_KEY@${CLOSED}" deno run --no-lock https://${CLOSED}/deno/main.ts`,
  },
];

function bothWays(line: (url: string) => string): { tunnelled: string; intercepted: string } {
  return { tunnelled: line(`https://${OPEN}`), intercepted: line(`https://user:$API_KEY@${CLOSED}`) };
}

for (const { name, tunnelled, intercepted } of INSTALLERS) {
  test(`${name} installs through a tunnel`, async () => {
    const before = open.seen.length;
    assert.equal(await world.home.bash(box, tunnelled), "installed");
    assert.ok(open.seen.length - before >= 2, "the index, and what it names");
  });

  test(`${name} installs through interception, and shows the value where the index wants it`, async () => {
    const before = closed.seen.length;
    assert.equal(await world.home.bash(box, intercepted), "installed");
    const requests = closed.seen.slice(before);
    assert.ok(requests.filter(({ headers }) => headers.authorization !== undefined).length >= 2);
    assert.doesNotMatch(JSON.stringify(requests), PLACEHOLDER);
  });
}

test("git clones through a tunnel", async () => {
  const text = await world.home.bash(
    box,
    `cd "$(mktemp -d)" && git clone -q https://${OPEN_GIT}/project.git && cat project/README.md`,
  );
  assert.equal(`${text}\n`, repository.text);
});

test("git clones and pushes through interception, with the secret as its password", async () => {
  // More than http.postBuffer: git then sends it in chunks, after a request that only asks whether it may.
  const push = `head -c 3000000 /dev/urandom > data && git add data &&
    git -c user.name=Guest -c user.email=guest@example.com commit -q -m Second && git push -q origin HEAD:pushed`;
  await world.home.bash(
    box,
    `set -e; cd "$(mktemp -d)"; git clone -q "https://user:$API_KEY@${CLOSED_GIT}/project.git"; cd project; ${push}`,
  );
  const bare = `${repository.root}/project.git`;
  const subjects = execFileSync("git", ["--git-dir", bare, "log", "--format=%s", "pushed"], { encoding: "utf8" });
  assert.equal(subjects, "Second\nFirst\n");
  assert.equal(
    execFileSync("git", ["--git-dir", bare, "cat-file", "-s", "pushed:data"], { encoding: "utf8" }),
    "3000000\n",
  );
  const passwords = gitSaw
    .filter((value) => value !== undefined)
    .map((value) => Buffer.from(value.slice(6), "base64").toString());
  assert.deepEqual([...new Set(passwords)], [`user:${world.secret}`]);
});

/** Print the echo's answer on stdout; the URL is `$1`. */
const CLIENTS: readonly { name: string; line: string; version: "1.1" | "2.0" }[] = [
  { name: "curl --http2", line: `curl -sS --http2 -H "authorization: Bearer $API_KEY" "$1"`, version: "2.0" },
  { name: "curl --http1.1", line: `curl -sS --http1.1 -H "authorization: Bearer $API_KEY" "$1"`, version: "1.1" },
  {
    name: "python requests",
    line: `python3 -c 'import os, sys; from pip._vendor import requests; print(requests.get(sys.argv[1], headers={"authorization": "Bearer " + os.environ["API_KEY"]}).text)' "$1"`,
    version: "1.1",
  },
  {
    name: "node https",
    line: `node -e 'require("https").get(process.argv[1], { headers: { authorization: "Bearer " + process.env.API_KEY } }, (r) => r.pipe(process.stdout))' "$1"`,
    version: "1.1",
  },
  {
    name: "node http2",
    line: `node -e 'const u = new URL(process.argv[1]); const c = require("http2").connect(u); const s = c.request({ ":path": u.pathname, authorization: "Bearer " + process.env.API_KEY }); s.pipe(process.stdout); s.on("close", () => c.close())' "$1"`,
    version: "2.0",
  },
  {
    name: "openssl s_client",
    line: `host=\${1#https://}; host=\${host%%/*}; printf 'GET /echo HTTP/1.1\\r\\nHost: %s\\r\\nAuthorization: Bearer %s\\r\\nConnection: close\\r\\n\\r\\n' "$host" "$API_KEY" | openssl s_client -quiet -verify_return_error -verify_hostname "$host" -servername "$host" -connect "$host:443" 2>/dev/null | grep '^{'`,
    version: "1.1",
  },
];

for (const { name, line, version } of CLIENTS) {
  const run = async (host: string): Promise<SeenRequest> =>
    JSON.parse(
      await world.home.must(["exec", box, "--", "bash", "-c", line, "bash", `https://${host}/echo`]),
    ) as SeenRequest;

  test(`${name} works through a tunnel`, async () => {
    const answer = await run(OPEN);
    assert.equal(answer.version, version);
    assert.match(String(answer.headers.authorization), PLACEHOLDER);
  });

  test(`${name} works through interception, in HTTP/${version}, with the secret put in`, async () => {
    const before = closed.seen.length;
    const answer = await run(CLOSED);
    assert.equal(closed.seen[before]?.headers.authorization, `Bearer ${world.secret}`);
    assert.match(String(answer.headers.authorization), PLACEHOLDER);
    assert.equal(closed.seen[before].version, version);
  });
}
