/**
 * Every method of the Runtime, on a server: it works there, or it says that it does not, with a way out. A method that is
 * added to the interface does not compile here until somebody has decided.
 */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { SbxError } from "../../../src/runtime/errors.ts";
import type { AppApi } from "../../../src/runtime/apps.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { openRemoteBench } from "./remote-bench.ts";

/** `get`, `volumes.get`, … */
type MethodsOf<T> = {
  [K in keyof T & string]: T[K] extends (...args: never[]) => unknown ? K : `${K}.${keyof T[K] & string}`;
}[keyof T & string];

/** `gateway`: where the server has one; that of this test has none. */
type Decision = "works" | "gateway" | "unsupported";
type Case = [decision: Decision, call: (runtime: Runtime) => Promise<unknown> | AsyncIterable<unknown>];

const WEB = "web";
const NOTHING: AsyncIterable<Uint8Array> = new PassThrough().end();
const LIFE = { lifetime: { kind: "duration", ms: 60_000 } } as const;
const IMAGE = { name: "own", packages: [] };
const SECRET = { name: "KEY", hosts: [], source: { kind: "value", value: "x" } } as const;
const EMPTY = { contentBytes: 0, fileBytes: 0, sha256: "" };
const HANDSHAKE = { fields: {}, head: Buffer.alloc(0) };

const REVISION = "000000000009";
const DEPLOYMENT = { source: { kind: "assets", assets: new Map() }, production: true, preview: false } as const;

/** What no command calls. */
const PROGRAMS_ONLY = new Set(["openRpc", "ssh.openMessages"]);

const APP_CASES: Record<`apps.${MethodsOf<AppApi>}`, Case> = {
  "apps.create": ["works", async ({ apps }) => apps.create({ slug: "shop", instances: { instances: 5 } })],
  "apps.list": ["works", async ({ apps }) => apps.list()],
  "apps.get": ["works", async ({ apps }) => apps.get("shop")],
  "apps.update": ["works", async ({ apps }) => apps.update("shop", { instances: { instances: 2 } })],
  "apps.deploy": ["works", async ({ apps }) => apps.deploy("gone", DEPLOYMENT)],
  "apps.activate": ["works", async ({ apps }) => apps.activate("shop")],
  "apps.timelines": ["works", async ({ apps }) => apps.timelines("shop")],
  "apps.logs": ["works", async ({ apps }) => apps.logs("shop")],
  "apps.layers.create": ["works", async ({ apps }) => apps.layers.create({ slug: "base" })],
  "apps.layers.list": ["works", async ({ apps }) => apps.layers.list()],
  "apps.layers.get": ["works", async ({ apps }) => apps.layers.get("base")],
  "apps.layers.update": ["works", async ({ apps }) => apps.layers.update("base", { description: "x" })],
  "apps.layers.users": ["works", async ({ apps }) => apps.layers.users("base")],
  "apps.layers.remove": ["works", async ({ apps }) => apps.layers.remove("base")],
  "apps.revisions.list": ["works", async ({ apps }) => apps.revisions.list("shop")],
  "apps.revisions.get": ["works", async ({ apps }) => apps.revisions.get(REVISION)],
  "apps.revisions.cancel": ["works", async ({ apps }) => apps.revisions.cancel(REVISION)],
  "apps.revisions.remove": ["works", async ({ apps }) => apps.revisions.remove(REVISION)],
  "apps.revisions.keep": ["works", async ({ apps }) => apps.revisions.keep(REVISION, true)],
  "apps.revisions.progress": ["works", ({ apps }) => apps.revisions.progress(REVISION)],
  "apps.revisions.buildLogs": ["works", ({ apps }) => apps.revisions.buildLogs(REVISION)],
  "apps.revisions.timelines": ["works", async ({ apps }) => apps.revisions.timelines(REVISION)],
  "apps.remove": ["works", async ({ apps }) => apps.remove("shop")],
};

const CASES: Record<MethodsOf<Omit<Runtime, "apps">>, Case> & typeof APP_CASES = {
  ...APP_CASES,
  create: ["works", async (runtime) => runtime.create(LIFE)],
  connect: ["works", async (runtime) => runtime.connect(WEB)],
  openRpc: ["unsupported", async (runtime) => runtime.openRpc(WEB, HANDSHAKE as never)],
  get: ["works", async (runtime) => runtime.get(WEB)],
  list: ["works", async (runtime) => runtime.list()],
  remove: ["works", async (runtime) => runtime.remove(WEB)],
  extend: ["works", async (runtime) => runtime.extend(WEB, 1000)],
  fork: ["works", async (runtime) => runtime.fork(WEB, { count: 1, lifetimeMs: 1000 })],
  pause: ["works", async (runtime) => runtime.pause(WEB)],
  resume: ["works", async (runtime) => runtime.resume(WEB)],
  logs: ["works", (runtime) => runtime.logs(WEB)],
  events: ["works", (runtime) => runtime.events()],
  usage: ["works", async (runtime) => runtime.usage()],
  prune: ["works", async (runtime) => runtime.prune({ dryRun: true })],
  "images.list": ["works", async ({ images }) => images.list()],
  "images.get": ["works", async ({ images }) => images.get("default")],
  "images.verify": ["unsupported", async ({ images }) => images.verify("default")],
  "images.build": ["unsupported", async ({ images }) => images.build(IMAGE)],
  "images.remove": ["unsupported", async ({ images }) => images.remove("default")],
  "machine.setup": ["unsupported", async ({ machine }) => machine.setup()],
  "machine.doctor": ["works", async ({ machine }) => machine.doctor()],
  "network.show": ["works", async ({ network }) => network.show(WEB)],
  "network.check": ["works", async ({ network }) => network.check(WEB, "GET", "https://a.example")],
  "network.change": ["works", async ({ network }) => network.change(WEB, "allow", ["a.example"])],
  "network.denied": ["works", async ({ network }) => network.denied(WEB)],
  "network.log": ["works", ({ network }) => network.log(WEB)],
  // Those of this machine, wherever sandboxes are.
  "secrets.names": ["works", async ({ secrets }) => secrets.names()],
  "secrets.list": ["works", async ({ secrets }) => secrets.list()],
  "secrets.set": ["works", async ({ secrets }) => secrets.set(SECRET)],
  "secrets.remove": ["works", async ({ secrets }) => secrets.remove("KEY")],
  "secrets.rotate": ["works", async ({ secrets }) => secrets.rotate("KEY", null)],
  "snapshots.create": ["works", async ({ snapshots }) => snapshots.create("tools", WEB)],
  "snapshots.list": ["works", async ({ snapshots }) => snapshots.list()],
  "snapshots.get": ["works", async ({ snapshots }) => snapshots.get("tools")],
  "snapshots.remove": ["works", async ({ snapshots }) => snapshots.remove("tools")],
  "snapshots.tree": ["works", async ({ snapshots }) => snapshots.tree()],
  "snapshots.export": ["works", async ({ snapshots }) => snapshots.export("tools", new PassThrough())],
  "snapshots.import": ["works", async ({ snapshots }) => snapshots.import(NOTHING, {})],
  "volumes.create": ["works", async ({ volumes }) => volumes.create({ slug: "data", capacityBytes: 400_000_000 })],
  "volumes.list": ["works", async ({ volumes }) => volumes.list()],
  "volumes.get": ["works", async ({ volumes }) => volumes.get("data")],
  "volumes.remove": ["works", async ({ volumes }) => volumes.remove("data")],
  "volumes.restore": ["works", async ({ volumes }) => volumes.restore("data")],
  "volumes.resize": ["works", async ({ volumes }) => volumes.resize("data", 500_000_000)],
  "volumes.snapshot": ["works", async ({ volumes }) => volumes.snapshot("data", "tools")],
  "volumes.export": ["works", async ({ volumes }) => volumes.export("data", new PassThrough())],
  "volumes.import": ["works", async ({ volumes }) => volumes.import(NOTHING, {})],
  "volumes.attach": ["works", async ({ volumes }) => volumes.attach("data", WEB, { path: "/d", access: "read-only" })],
  "volumes.detach": ["works", async ({ volumes }) => volumes.detach("data", WEB)],
  "checkpoints.create": ["works", async ({ checkpoints }) => checkpoints.create(WEB, "ready")],
  "checkpoints.list": ["works", async ({ checkpoints }) => checkpoints.list()],
  "checkpoints.get": ["works", async ({ checkpoints }) => checkpoints.get("ready")],
  "checkpoints.remove": ["works", async ({ checkpoints }) => checkpoints.remove("ready")],
  "folders.mounts": ["works", async ({ folders }) => folders.mounts(WEB)],
  "folders.copies": ["works", async ({ folders }) => folders.copies(WEB)],
  "folders.compare": ["works", async ({ folders }) => folders.compare(WEB)],
  "ssh.open": ["works", async ({ ssh }) => ssh.open(WEB, { hostName: "web.work.sbx" })],
  "ssh.openWithKey": ["works", async ({ ssh }) => ssh.openWithKey(WEB, { publicKey: `ssh-ed25519 ${"C".repeat(68)}` })],
  "ssh.openMessages": ["unsupported", async ({ ssh }) => ssh.openMessages(WEB)],
  "ssh.files": ["works", async ({ ssh }) => ssh.files()],
  "exposures.add": ["gateway", async ({ exposures }) => exposures.add(WEB, { guestPort: 80 })],
  "exposures.list": ["gateway", async ({ exposures }) => exposures.list(WEB)],
  "exposures.remove": ["gateway", async ({ exposures }) => exposures.remove(WEB, 80)],
  "editor.open": ["gateway", async ({ editor }) => editor.open(WEB, {})],
  "editor.stop": ["works", async ({ editor }) => editor.stop(WEB)],
  "metering.read": ["works", async ({ metering }) => metering.read({} as never)],
};

async function outcome(call: ReturnType<Case[1]>): Promise<SbxError | undefined> {
  try {
    if (Symbol.asyncIterator in call) for await (const _item of call) break;
    else await call;
    return undefined;
  } catch (error) {
    if (error instanceof SbxError) return error;
    throw error;
  }
}

test("every method works on a server, or says that it does not", async (t) => {
  const { remote, runtime, machine } = await openRemoteBench(t);
  Object.assign(machine.secrets, runtime.secrets);
  runtime.volumes.export = async () => EMPTY;
  runtime.snapshots.export = async () => EMPTY;
  for (const [name, [decision, call]] of Object.entries(CASES)) {
    runtime.sandboxes = [sandboxInfo({ name: WEB })];
    const error = await outcome(call(remote));
    if (decision === "unsupported") assert.equal(error?.code, "unsupported", name);
    else if (decision === "gateway") assert.match(error?.message ?? "", /has no public address/, name);
    else {
      // What the fake has nothing of is not found; that is an answer of the server's.
      assert.notEqual(error?.code, "unsupported", `${name}: ${error?.message ?? ""}`);
      assert.notEqual(error?.code, "server_failed", `${name}: ${error?.message ?? ""}`);
    }
  }
});

test("what does not work on a server names a way out", async (t) => {
  const { remote } = await openRemoteBench(t);
  for (const [name, [decision, call]] of Object.entries(CASES)) {
    if (decision === "works" || PROGRAMS_ONLY.has(name)) continue;
    assert.match((await outcome(call(remote)))?.hint ?? "", /\S/, name);
  }
});
