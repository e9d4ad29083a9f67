/** `sbx code`: VS Code in a real machine, used with a real browser. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync, utimesSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { get } from "node:https";
import path from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import type { Page } from "playwright-core";
import { openBrowser } from "./support/browser.ts";
import { ask } from "./support/exposed.ts";
import { eventually } from "./support/leftovers.ts";
import { SdkServer } from "./support/sdk-server.ts";
import { openTestHome } from "./support/test-home.ts";

interface CodeJson {
  where: string;
  url: string;
  folder: string;
  guestPort: number;
  isNew: boolean;
}

/** Generous: an emulated machine beside others is slow, and slowness is no failure. `ms` */
const PATIENCE_MS = 240_000;
const FOLDER = "/home/app/project";

const home = await openTestHome();
after(async () => home[Symbol.asyncDispose]());

let id = "";
let first: CodeJson;

async function code(...args: string[]): Promise<CodeJson> {
  const output = await home.must(["code", id, FOLDER, "--web", "--json", ...args], { deadlineMs: PATIENCE_MS });
  return JSON.parse(output) as CodeJson;
}

async function untilGuest(line: string, expected: RegExp): Promise<void> {
  await eventually(async () => assert.match(await home.bash(id, line), expected), PATIENCE_MS);
}

before(async () => {
  id = await home.create("--name", "box", "--memory", "2GiB", "--cpus", "2");
  await home.bash(id, `mkdir ${FOLDER} && echo old > ${FOLDER}/note.txt`);
  first = await code();
});

test("the first call starts VS Code in a sandbox without a network, and later ones return the same URL", async () => {
  assert.equal(first.where, "browser");
  assert.equal(first.isNew, true);
  assert.deepEqual(await code(), { ...first, isNew: false });
});

test("whoever has the host name but not the token is refused; the token becomes a cookie and leaves the address", async () => {
  const { origin, searchParams, pathname, search } = new URL(first.url);
  assert.equal((await ask(origin)).status, 403);
  const wrong = await ask(origin, { path: `/?tkn=${"x".repeat(32)}` });
  assert.equal(wrong.status, 403);
  const right = await ask(origin, { path: `${pathname}${search}` });
  assert.equal(right.status, 302);
  assert.doesNotMatch(String(right.headers.location), /tkn/);
  const [cookie = ""] = right.headers["set-cookie"] ?? [];
  assert.match(cookie, /SameSite=(?:Lax|Strict)/);
  const page = await ask(origin, { headers: { cookie: cookie.split(";")[0] ?? "" } });
  assert.equal(page.status, 200);
  assert.equal(searchParams.get("folder"), FOLDER);
});

test("a file is edited and a command run in a real browser, which is sent nowhere else", async () => {
  await using browser = await openBrowser();
  const page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
  page.setDefaultTimeout(PATIENCE_MS);
  const elsewhere: string[] = [];
  page.on("request", (request) => {
    const { protocol, host } = new URL(request.url());
    if (/^(?:https?|wss?):$/.test(protocol) && host !== new URL(first.url).host) elsewhere.push(request.url());
  });
  await page.goto(first.url, { waitUntil: "domcontentloaded" });
  await editNote(page);
  await untilGuest(`cat ${FOLDER}/note.txt`, /^new words\s+old$/);
  await runInTerminal(page, "echo $((6 * 7)) > answer.txt");
  await untilGuest(`cat ${FOLDER}/answer.txt || true`, /^42$/);
  assert.equal(await page.locator(".monaco-dialog-box").count(), 0, "no question is in the way");
  assert.deepEqual(elsewhere, []);
});

async function editNote(page: Page): Promise<void> {
  await page.getByRole("treeitem", { name: "note.txt" }).dblclick();
  await page.locator(".editor-instance .view-line").first().click();
  await page.keyboard.press("Control+Home");
  await page.keyboard.type("new words");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Control+s");
}

async function runInTerminal(page: Page, line: string): Promise<void> {
  await page.keyboard.press("Control+Backquote");
  await page.locator(".xterm").first().waitFor();
  // Drawn on a canvas: whether the shell is there is seen in the guest.
  await untilGuest("pgrep -fc '[s]hellIntegration-bash' || true", /^[1-9]/);
  await page.locator(".xterm").first().click();
  await page.keyboard.type(`${line}\n`);
}

test("nobody in a sandbox changes what others run: the disk is read-only, to root as well", async () => {
  const outcome = await home.sbx(["exec", id, "--", "sudo", "sh", "-c", "touch /opt/sbx/code/launch.mjs"]);
  assert.notEqual(outcome.status, 0);
  assert.match(outcome.stderr, /Read-only file system/);
  const remount = await home.sbx(["exec", id, "--", "sudo", "mount", "-o", "remount,rw", "/opt/sbx/code"]);
  assert.notEqual(remount.status, 0);
});

test("exposeVscode of the official SDK has one of its own, at the gateway; its caller's token is not in the guest", async () => {
  await using server = await SdkServer.open(home);
  process.env.DENO_SANDBOX_ENDPOINT = server.url;
  process.env.DENO_DEPLOY_TOKEN = server.token ?? "";
  await using sandbox = await Sandbox.connect({ id });
  const vscode = await sandbox.exposeVscode(FOLDER, {
    env: { COLOUR: "green" },
    editorSettings: { "editor.tabSize": 3 },
    ...{ extensions: [], preview: "http://localhost:3000/", disableStopButton: true },
  });
  assert.ok(vscode.stdout instanceof ReadableStream && vscode.stderr instanceof ReadableStream);
  const { host, hostname, port } = new URL(vscode.url);
  const [response] = (await once(
    get({
      ...{ host: "127.0.0.1", port, servername: hostname, headers: { host }, agent: false },
      ca: readFileSync(server.gateway.certificate ?? ""),
    }),
    "response",
  )) as [IncomingMessage];
  assert.equal(response.statusCode, 200);
  assert.match(await text(response), /vscode-workbench-web-configuration/);
  const settings = await home.bash(id, "cat ~/.local/share/sbx-code/data/User/settings.json");
  assert.match(settings, /"editor.tabSize": 3/);
  const environments = await home.bash(
    id,
    "cat $(pgrep -f server-main.js | sed 's|.*|/proc/&/environ|') | tr '\\0' '\\n'",
  );
  assert.match(environments, /^COLOUR=green$/m);
  assert.ok(!environments.includes(server.token ?? "?"));
  await vscode.kill();
  assert.equal((await vscode.status).signal, "SIGTERM");
  // That of `sbx code` goes on.
  assert.deepEqual(await code(), { ...first, isNew: false });
});

test("--stop ends it with what runs in its terminals, and its URL and disk are gone; its settings and token stay", async () => {
  assert.deepEqual(JSON.parse(await home.must(["code", id, "--stop", "--json"])), { stopped: true });
  assert.equal(await home.bash(id, "pgrep -f '[/]opt/sbx/code/' || true; grep /opt/sbx/code /proc/mounts || true"), "");
  assert.equal(await home.must(["expose", id, "--quiet"]), "");
  assert.deepEqual(JSON.parse(await home.must(["code", id, "--stop", "--json"])), { stopped: false });
  const again = await code();
  assert.equal(again.isNew, true);
  assert.equal(new URL(again.url).searchParams.get("tkn"), new URL(first.url).searchParams.get("tkn"));
  await home.must(["code", id, "--stop"]);
});

test("a disk that somebody has written to is not given to sandboxes any more", async () => {
  const [file = ""] = readdirSync(home.paths.layersPath).filter((name) => name.endsWith(".raw"));
  const now = new Date();
  utimesSync(path.join(home.paths.layersPath, file), now, now);
  const { status, stderr } = await home.sbx(["code", id, "--web"]);
  assert.equal(status, 1);
  assert.match(stderr, /volume vscode-\S+, which VS Code is on, cannot be used: .* was written to/);
  assert.match(stderr, /sbx volume remove vscode-/);
});
