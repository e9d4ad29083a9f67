/** Folders of a sandbox, with an agent that is played: what is served, what is said of it, and how it ends. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { PassThrough } from "node:stream";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { OP } from "../../../src/folders/fuse-protocol.ts";
import type { AgentLink } from "../../../src/guest/link.ts";
import { AgentError } from "../../../src/guest/link.ts";
import { SandboxFolders } from "../../../src/supervisor/folders.ts";
import { readEntry, request, text } from "../folders/guest-kernel.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

interface Played {
  link: AgentLink;
  calls: { method: string; params: Record<string, unknown> }[];
  /** Requests of the guest's kernel go in at the first, answers come out of the second; one pair a mount. */
  streams: PassThrough[];
  logged: string[];
  open: (folders: SandboxFolders, hostPaths: string[]) => Promise<void>;
}

function play(refused: string[] = []): Played {
  const streams: PassThrough[] = [];
  const calls: Played["calls"] = [];
  const openStream = (): PassThrough => {
    const stream = Object.assign(new PassThrough(), { streamId: streams.length + 1 });
    // As those of the link do.
    stream.on("error", () => undefined);
    streams.push(stream);
    return stream;
  };
  const link = {
    openReadable: openStream,
    openWritable: openStream,
    call: async (method: string, params: Record<string, unknown>) => {
      calls.push({ method, params });
      if (refused.includes(String(params.path)))
        throw new AgentError("ENOTDIR", "not a directory", String(params.path));
      return method === "folder.mount" ? { uid: 1000, gid: 1000 } : null;
    },
  } as unknown as AgentLink;
  const logged: string[] = [];
  const open = (folders: SandboxFolders, hostPaths: string[]): Promise<void> =>
    folders.open(
      {
        mounts: hostPaths.map((hostPath, index) => ({
          ...{ hostPath, guestPath: `/m${index}`, readOnly: index > 0, quota: { bytes: 1000, files: 10 } },
        })),
        places: ["/srv/place"],
        forbiddenPaths: ["/nothing/here"],
      },
      { link, user: "app", signal: new AbortController().signal, log: (text) => logged.push(text) },
    );
  return { link, calls, streams, logged, open };
}

function shared(t: TestContext): string {
  const directory = temporaryDirectory(t);
  writeFileSync(path.join(directory, "file"), "12345");
  return directory;
}

test("mounts are made in their order, then places; requests are answered; the end leaves nothing open", async (t) => {
  const { calls, streams, logged, open, link } = play();
  const folders = new SandboxFolders();
  await open(folders, [shared(t), shared(t)]);
  assert.deepEqual(
    calls.map(({ method, params }) => `${method} ${String(params.path)}`),
    ["folder.mount /m0", "folder.mount /m1", "folder.place /srv/place"],
  );
  const [requests, answers] = streams;
  requests?.write(request(OP.lookup, 1, 7, text("file")));
  const answer = await new Promise<Buffer>((resolve) => answers?.once("data", resolve));
  assert.equal(readEntry(answer.subarray(16)).size, 5);
  assert.deepEqual(
    folders.views.map(({ guestPath, failure, usedBytes }) => ({ guestPath, failure, usedBytes })),
    [
      { guestPath: "/m0", failure: null, usedBytes: 0 },
      { guestPath: "/m1", failure: null, usedBytes: 0 },
    ],
  );
  await folders.settle(link);
  assert.deepEqual(calls.at(-1), { method: "folder.sync", params: { path: "/m0" } }, "only what can be written to");
  for (const stream of streams) stream.destroy();
  await folders[Symbol.asyncDispose]();
  assert.deepEqual(logged, []);
});

test("a guest that sends what is no request, or unmounts, loses that folder alone, and it is said", async (t) => {
  const { streams, logged, open } = play();
  const folders = new SandboxFolders();
  await open(folders, [shared(t), shared(t)]);
  streams[0]?.write(Buffer.alloc(8, 0xff));
  await new Promise((resolve) => streams[1]?.once("close", resolve));
  streams[2]?.end();
  streams[3]?.resume();
  await new Promise((resolve) => streams[3]?.once("end", resolve));
  await new Promise(setImmediate);
  const [broken, unmounted] = folders.views;
  assert.match(broken?.failure ?? "", /a request of 4294967295 bytes/);
  assert.equal(unmounted?.failure, "it was unmounted in the sandbox");
  assert.equal(logged.length, 2);
  await folders[Symbol.asyncDispose]();
});

test("a place that cannot be made and a directory that is not there end the start, with what it was about", async (t) => {
  const refusing = play(["/srv/place"]);
  const folders = new SandboxFolders();
  await assert.rejects(refusing.open(folders, [shared(t)]), /'\/srv\/place' could not be made in the sandbox/);
  for (const stream of refusing.streams) stream.destroy();
  await folders[Symbol.asyncDispose]();
  const { open, streams } = play();
  await assert.rejects(open(new SandboxFolders(), ["/no/such/directory"]), /could not be mounted at '\/m0'/);
  assert.ok(streams.every(({ destroyed }) => destroyed));
});
