/**
 * A Java program in a sandbox trusts what the sandbox trusts: its store is Debian's own file, which the agent adds to.
 * The server is this machine's loopback, since the image has to be built where there is a network.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { TestAuthority } from "../boundary/support/test-authority.ts";
import { openTestHome } from "./support/test-home.ts";

const HOST = "host.sbx.internal";
const VALUE = "the value of a secret that Java never sees";
/** java(1) runs a source file by its name. */
const PROGRAM = `
import java.net.URI;
import java.net.http.*;
class Get {
  public static void main(String[] args) throws Exception {
    var request = HttpRequest.newBuilder(URI.create(args[0])).header("authorization", "Bearer " + System.getenv("API_KEY")).build();
    System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
  }
}`;

const home = await openTestHome({ images: "own" });
const authority = new TestAuthority();
const seen: (string | undefined)[] = [];
const server = createServer(authority.identity(HOST), (request, response) => {
  seen.push(request.headers.authorization);
  response.end(`hello ${request.url ?? ""}`);
});

before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  await home.must(["image", "build", "java", "openjdk-21-jdk-headless"], { deadlineMs: 8 * 60_000 });
});
after(async () => {
  await home[Symbol.asyncDispose]();
  server.close();
});

test("Java trusts the sandbox's authority where a secret is put in, and the roots that were added where it is not", async () => {
  const { port } = server.address() as AddressInfo;
  const target = `${HOST}:${port}`;
  home.env.API_KEY = VALUE;
  const caFile = home.scratch("root.pem");
  const source = home.scratch("Get.java");
  await writeFile(caFile, authority.pem);
  await writeFile(source, PROGRAM);
  for (const secret of [[], ["--secret", `API_KEY@${target}`]]) {
    const id = await home.create("--image", "java", "--allow-net", target, ...secret, "--ca-file", caFile);
    await home.must(["copy", source, `${id}:/app/Get.java`]);
    assert.equal(await home.bash(id, `java /app/Get.java https://${target}/java`), "hello /java");
    await home.must(["kill", id]);
  }
  assert.deepEqual(seen, ["Bearer null", `Bearer ${VALUE}`]);
});
