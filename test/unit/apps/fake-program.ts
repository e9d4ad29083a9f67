/** A guest in which revisions can run: archives go in and out, and a server answers, as far as a test wants. */
import { Duplex } from "node:stream";
import type { FakeRuntime } from "../../fake-runtime.ts";

/** /proc/net/tcp of a guest in which something listens on port 8000. */
const LISTENING = [
  "  sl  local_address rem_address   st tx_queue rx_queue",
  "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000",
  "",
].join("\n");

export interface FakeProgramOptions {
  /** Files that are in the app's directory. */
  files?: Record<string, string>;
  /** What a sandbox's directory is as an archive. */
  archive?: string;
}

export interface FakeAppGuest {
  /** Whether the program listens and answers; its process is over if not. */
  isHealthy: boolean;
  /** Archives that were unpacked, in order. */
  unpacked: Buffer[];
  /** How often a request was answered. */
  requests: number;
}

/** Has the sandboxes of a fake runtime run revisions. */
export function runApps(runtime: FakeRuntime, options: FakeProgramOptions = {}): FakeAppGuest {
  const { files = { "main.ts": "Deno.serve(() => new Response('hi'))" }, archive = "tar" } = options;
  const guest: FakeAppGuest = { isHealthy: true, unpacked: [], requests: 0 };
  for (const name of ["install", "mkfifo"]) runtime.programs.set(name, () => 0);
  // What stops the reader of a program's output.
  if (!runtime.programs.has("sh")) runtime.programs.set("sh", () => 0);
  runtime.programs.set("tar", async ({ spec, stdin, stdout }) => {
    if (spec.argv.includes("--create")) {
      stdout.write(archive);
      return 0;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of stdin ?? []) chunks.push(chunk as Buffer);
    guest.unpacked.push(Buffer.concat(chunks));
    return 0;
  });
  const filesOf = runtime.filesOf.bind(runtime);
  runtime.filesOf = (id) => {
    const guestFiles = filesOf(id);
    for (const [name, text] of Object.entries(files)) guestFiles.contents.set(`/app/src/${name}`, Buffer.from(text));
    for (const [name, text] of [
      ["/proc/net/tcp", LISTENING],
      ["/proc/4321", ""],
    ] as const) {
      if (guest.isHealthy) guestFiles.contents.set(name, Buffer.from(text));
      else guestFiles.contents.delete(name);
    }
    return guestFiles;
  };
  runtime.tunnel = async (id) => {
    if (runtime.find(id).status !== "running") throw new Error("its machine is gone");
    return answering(guest);
  };
  runtime.domains.connect = async (id, target, first) => {
    if (!("guestPort" in target)) throw new Error("a port, not a process");
    const stream = await runtime.tunnel(id, { port: target.guestPort });
    if (first !== undefined) stream.write(first);
    return stream;
  };
  return guest;
}

/** The end of a connection to a server that answers each request in the same way. */
function answering(guest: FakeAppGuest): Duplex {
  const body = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
  return new Duplex({
    read: () => undefined,
    write(_chunk, _encoding, done) {
      guest.requests++;
      this.push(body);
      done();
    },
  });
}
