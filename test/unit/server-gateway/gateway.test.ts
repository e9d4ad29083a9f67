/** The public gateway as its clients see it: those who were given a name, and everybody else. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, generateKeyPairSync, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { WebSocket, WebSocketServer } from "ws";
import { localhostNamesPath } from "../../../src/host/package-root.ts";
import { makeLeafCertificate, toPem } from "../../../src/pki/certificate.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { FakeOrganisations } from "../server/harness.ts";
import { ID, openGatewayBench } from "./gateway-bench.ts";

describe("a name", () => {
  test("has 130 random bits, leads to the server it is bound to, and is under TLS that the authority vouches for", async (t) => {
    const bench = await openGatewayBench(t);
    await bench.serve((request, response) => response.end(`${request.method ?? ""} ${request.url ?? ""}`));
    const domain = await bench.expose();
    assert.match(domain, /^[a-z2-7]{26}\.localhost:\d+$/);
    assert.notEqual(await bench.expose(), domain);
    const { status, text } = await bench.ask(domain, { path: "/a?b=c" });
    assert.deepEqual([status, text], [200, "GET /a?b=c"]);
  });

  test("is not bound by being made: until then, and while nothing listens, it says so and nothing of the sandbox", async (t) => {
    const bench = await openGatewayBench(t);
    const { status, body } = await bench.call(`/api/v3/sandbox/${ID}/expose/http`);
    assert.equal(status, 200);
    const answer = await bench.ask(String(body["domain"]));
    assert.equal(answer.status, 503);
    assert.deepEqual(JSON.parse(answer.text), {
      code: "nothing_listens",
      message: "The server behind this address does not run yet.",
    });
    const page = await bench.ask(String(body["domain"]), { headers: { accept: "text/html" } });
    assert.match(page.text, /Nothing listens yet/);
    assert.ok(!page.text.includes(ID) && !page.text.includes("sbx exec"));
  });

  test("may be one of a process, as the SDK for Python asks for it; both or neither of a port and a process fit", async (t) => {
    const bench = await openGatewayBench(t);
    const path = `/api/v3/sandbox/${ID}/expose/http`;
    assert.equal((await bench.call(path, { pid: 7, port: null })).status, 200);
    assert.equal((await bench.call(path, { port: 3000, other: 1 })).status, 200);
    assert.deepEqual(
      [...bench.runtime.domains.announced.values()].map(({ target }) => target),
      [{ pid: 7 }, { guestPort: 3000 }],
    );
    for (const body of [{ port: 1, pid: 1 }, { port: 0 }, { port: "80" }, { pid: -1 }]) {
      assert.equal((await bench.call(path, body)).status, 400, JSON.stringify(body));
    }
  });

  test("of another organisation's sandbox, or of one that is over, is refused as for one that never was", async (t) => {
    const bench = await openGatewayBench(t);
    bench.organisations.of("acme").sandboxes = [sandboxInfo({ id: "sbx_loc_00000000000000000009" })];
    bench.runtime.sandboxes.push(sandboxInfo({ id: "sbx_loc_00000000000000000008", status: "stopped" }));
    for (const id of ["sbx_loc_00000000000000000009", "sbx_loc_00000000000000000008", "sbx_loc_00000000000000000007"]) {
      for (const what of ["http", "vscode"]) {
        const { status, body } = await bench.call(`/api/v3/sandbox/${id}/expose/${what}`);
        assert.deepEqual([status, body["code"]], [404, "SANDBOX_NOT_FOUND"]);
      }
    }
  });

  test("dies with its sandbox, and is then answered as one that never was", async (t) => {
    const bench = await openGatewayBench(t);
    await bench.serve((_request, response) => response.end("here"));
    const domain = await bench.expose();
    assert.equal((await bench.ask(domain)).status, 200);
    bench.runtime.sandboxes = [sandboxInfo({ status: "stopped" })];
    const gone = await bench.ask(domain);
    const never = await bench.ask(domain.replace(/^.{26}/, "a".repeat(26)));
    assert.deepEqual(gone, never);
    assert.equal(gone.status, 404);
    // Nor is it waited for, as by a page that was told that nothing listens.
    assert.deepEqual(await bench.ask(domain, { headers: { "x-sbx-wait": "1" } }), never);
  });

  test("survives a server that was killed, and its records hold no name in clear", async (t) => {
    const organisations = new FakeOrganisations();
    const directory = temporaryDirectory(t);
    const bench = await openGatewayBench(t, { organisations, directory });
    const domain = await bench.expose();
    // Nothing is written at the end: another server beside it finds what is there.
    const second = await openGatewayBench(t, { organisations, directory });
    await second.serve((_request, response) => response.end("found again"));
    const moved = domain.replace(/:\d+$/, `:${second.gateway.port}`);
    assert.equal((await second.ask(moved)).text, "found again");
    for (const file of ["control.db", "control.db-wal"]) {
      const records = readFileSync(`${directory}/${file}`);
      assert.ok(!records.includes(domain.slice(0, 26)), file);
    }
    assert.ok(!bench.log().includes(domain.slice(0, 26)));
  });
});

describe("who knows no name", () => {
  test("gets one and the same answer, whatever is asked for", async (t) => {
    const bench = await openGatewayBench(t);
    await bench.serve((_request, response) => response.end("secret"));
    const domain = await bench.expose();
    const { port } = bench.gateway;
    const label = domain.slice(0, 26);
    const wrong = [
      `localhost:${port}`,
      `127.0.0.1:${port}`,
      `${"a".repeat(26)}.localhost:${port}`,
      `${label.slice(0, 25)}.localhost`,
      `${label}a.localhost`,
      `x.${label}.localhost`,
      `${label}.localhost.example`,
      `${label}.example`,
      label,
      `${ID}.localhost`,
    ];
    const expected = await bench.ask(wrong[0] ?? "", { servername: "" });
    assert.deepEqual([expected.status, expected.text], [404, "Not Found\n"]);
    for (const host of wrong) {
      // A client that names nobody in TLS is given the domain's own certificate.
      assert.deepEqual(await bench.ask(host, { servername: "" }), expected, host);
    }
    assert.deepEqual(await bench.ask(`${"a".repeat(26)}.localhost:${port}`), expected);
  });

  test("gets nowhere with a name in TLS and another one in Host", async (t) => {
    const bench = await openGatewayBench(t);
    await bench.serve((_request, response) => response.end("secret"));
    const domain = await bench.expose();
    const other = await bench.ask(domain, { servername: `${"b".repeat(26)}.localhost` });
    assert.deepEqual([other.status, other.text], [421, "Misdirected Request\n"]);
    // The same for a name that there is not: no difference tells which one exists.
    const never = await bench.ask(`${"c".repeat(26)}.localhost`, { servername: `${"b".repeat(26)}.localhost` });
    assert.deepEqual([never.status, never.text, never.headers], [other.status, other.text, other.headers]);
  });

  test("is hung up on for what is no TLS, no HTTP, or two readings of one request", async (t) => {
    const bench = await openGatewayBench(t);
    const domain = await bench.expose();
    const host = domain.replace(/:\d+$/, "");
    const garbage = [
      "\u0016\u0003\u0001garbage\r\n\r\n",
      `GET / HTTP/1.1\r\nHost: ${host}\r\nHost: ${host}\r\n\r\n`,
      `GET / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
      `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
      `CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
      `GET / HTTP/1.1\r\nHost: ${host}\r\nX: ${"y".repeat(70_000)}\r\n\r\n`,
    ];
    for (const bytes of garbage) {
      const socket = await bench.connect(host);
      socket.on("error", () => undefined);
      socket.write(bytes);
      let answer = "";
      socket.on("data", (chunk: Buffer) => (answer += chunk.toString()));
      await once(socket, "close");
      assert.match(answer, /^HTTP\/1\.1 4\d\d /, JSON.stringify(bytes.slice(0, 40)));
    }
  });
});

test("a record that cannot be read is the end of one name, and not of the server", async (t) => {
  const bench = await openGatewayBench(t);
  await bench.serve((_request, response) => response.end("here"));
  const [broken, whole] = [await bench.expose(), await bench.expose()];
  {
    using database = new DatabaseSync(path.join(bench.directory, "control.db"));
    const hash = createHash("sha256").update(broken.slice(0, 26)).digest("hex");
    database.prepare("UPDATE gateway_labels SET kind = 'x' WHERE hash = ?").run(hash);
  }
  assert.deepEqual(await bench.ask(broken), await bench.ask(`${"a".repeat(26)}.localhost`));
  assert.match(bench.log(), /gateway\.failure/);
  assert.equal((await bench.ask(whole)).text, "here");
});

describe("what passes", () => {
  test("says what the gateway knows of the client, and not what the client says of itself", async (t) => {
    const bench = await openGatewayBench(t);
    await bench.serve((request, response) => response.end(JSON.stringify(request.rawHeaders)));
    const domain = await bench.expose();
    const { text } = await bench.ask(domain, {
      headers: {
        host: domain.replace(/\d+$/, "1"),
        "x-forwarded-for": "1.2.3.4",
        "X-Forwarded-Host": "evil.example",
        "x-forwarded-proto": "http",
        "x-forwarded-port": "1",
        "x-real-ip": "1.2.3.4",
        forwarded: "for=1.2.3.4",
        proxy: "http://evil.example",
        "x-own": "kept",
      },
    });
    const raw = JSON.parse(text) as string[];
    const fields = raw.flatMap((name, index) => (index % 2 === 0 ? [[name.toLowerCase(), raw[index + 1]]] : []));
    assert.deepEqual(
      fields.filter(([name]) => name !== "connection"),
      [
        ["host", domain],
        ["x-own", "kept"],
        ["x-forwarded-for", "127.0.0.1"],
        ["x-forwarded-proto", "https"],
        ["x-forwarded-host", domain],
      ],
    );
  });

  test("WebSockets do, from programs and from pages of any site; to VS Code only from its own", async (t) => {
    const bench = await openGatewayBench(t);
    const sockets = new WebSocketServer({ noServer: true });
    await bench.serveRaw(() => undefined);
    const http = await import("node:http");
    const backend = http.createServer();
    backend.on("upgrade", (request, socket, head) => {
      sockets.handleUpgrade(request, socket, head, (peer) =>
        peer.on("message", (data) => peer.send(`echo ${(data as Buffer).toString()}`)),
      );
    });
    await bench.serveRaw((socket) => void backend.emit("connection", socket));
    const ca = readFileSync(bench.gateway.certificatePath ?? "");
    const open = async (domain: string, origin?: string): Promise<string> => {
      const socket = new WebSocket(`wss://127.0.0.1:${bench.gateway.port}/`, {
        ...{ ca, servername: domain.replace(/:\d+$/, ""), headers: { host: domain } },
        ...(origin === undefined ? {} : { origin }),
      });
      try {
        await once(socket, "open");
        socket.send("hi");
        return String((await once(socket, "message"))[0]);
      } finally {
        socket.terminate();
      }
    };
    const domain = await bench.expose();
    assert.equal(await open(domain), "echo hi");
    assert.equal(await open(domain, "https://app.example"), "echo hi");
    const { body } = await bench.call(`/api/v3/sandbox/${ID}/expose/vscode`);
    const editor = String(body["domain"]);
    await bench.runtime.domains.announce(ID, editor, { guestPort: 4000 });
    assert.equal(await open(editor, `https://${editor}`), "echo hi");
    await assert.rejects(open(editor, "https://app.example"), /403/);
  });

  test("events of a stream come one by one, and a body that is being sent is answered before it is whole", async (t) => {
    const bench = await openGatewayBench(t);
    await bench.serve((request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      request.on("data", (chunk: Buffer) => response.write(`data: ${chunk.toString()}\n\n`));
      request.on("end", () => response.end());
    });
    const domain = await bench.expose();
    const host = domain.replace(/:\d+$/, "");
    const socket = await bench.connect(host);
    let seen = "";
    socket.on("data", (chunk: Buffer) => (seen += chunk.toString()));
    socket.write(`POST / HTTP/1.1\r\nHost: ${domain}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n`);
    for (const word of ["one", "two"]) {
      socket.write(`3\r\n${word}\r\n`);
      while (!seen.includes(`data: ${word}`)) await once(socket, "data");
    }
    socket.write("0\r\n\r\n");
    await once(socket, "end");
  });

  test("megabytes both ways do, on one connection that is used again", async (t) => {
    const bench = await openGatewayBench(t);
    await bench.serve((request, response) => void request.pipe(response));
    const domain = await bench.expose();
    const host = domain.replace(/:\d+$/, "");
    const socket = await bench.connect(host);
    const body = "0123456789".repeat(400_000);
    for (let round = 0; round < 2; round++) {
      socket.write(`POST / HTTP/1.1\r\nHost: ${domain}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      let seen = "";
      while (!seen.endsWith("\r\n0\r\n\r\n")) seen += String((await once(socket, "data"))[0]);
      assert.ok(seen.length > body.length);
    }
  });
});

describe("the authority", () => {
  test("is made once, its key for nobody else to read, and vouches for names below the domain alone", async (t) => {
    const directory = temporaryDirectory(t);
    const first = await openGatewayBench(t, { directory });
    const file = first.gateway.certificatePath ?? "";
    const pem = readFileSync(file, "utf8");
    assert.equal(statSync(file.replace(/\.pem$/, ".key")).mode & 0o777, 0o600);
    const second = await openGatewayBench(t, { directory });
    assert.equal(readFileSync(second.gateway.certificatePath ?? "", "utf8"), pem);
    const { stdout } = await promisify(execFile)("openssl", ["x509", "-noout", "-text", "-in", file]);
    assert.match(
      stdout,
      /Name Constraints: critical\s+Permitted:\s+DNS:localhost\s+Excluded:\s+IP:0\.0\.0\.0\/0\.0\.0\.0\s+IP:0:0:0:0:0:0:0:0\/0:0:0:0:0:0:0:0/,
    );
    assert.equal(new X509Certificate(pem).ca, true);
  });

  test("satisfies curl, which checks the name and the constraint", async (t) => {
    const bench = await openGatewayBench(t);
    await bench.serve((_request, response) => response.end("for curl"));
    const domain = await bench.expose();
    const curl = async (...args: string[]): Promise<string> =>
      (await promisify(execFile)("curl", ["-sS", "--noproxy", "*", ...args])).stdout;
    const ca = ["--cacert", bench.gateway.certificatePath ?? ""];
    assert.equal(await curl(...ca, `https://${domain}/`), "for curl");
    await assert.rejects(curl(`https://${domain}/`), /certificate/);
    await assert.rejects(
      curl(...ca, "--connect-to", `::127.0.0.1:${bench.gateway.port}`, "https://bank.example/"),
      /SSL|certificate|name/,
    );
  });
});

describe("a port's URL, for clients of sbx's own", () => {
  test("is made once, listed, and taken away with who uses it", async (t) => {
    const bench = await openGatewayBench(t);
    await bench.serve((_request, response) => response.end("here"));
    const control = async (name: string, params: object): Promise<{ status: number; body: unknown }> =>
      bench.call(`/api/sbx/v1/${name}`, { ref: ID, ...params });
    const [one, two] = await Promise.all([
      control("exposure.add", { guestPort: 3000 }),
      control("exposure.add", { guestPort: 3000 }),
    ]);
    assert.equal(one.status, 200);
    assert.deepEqual(one, two);
    const exposure = one.body as { url: string; hostPort: number };
    assert.equal(exposure.hostPort, bench.gateway.port);
    const domain = exposure.url.replace("https://", "");
    assert.equal((await bench.ask(domain)).text, "here");
    // Names of the published API that are bound to a port are URLs of it as well.
    await bench.expose(80);
    const listed = (await control("exposure.list", {})).body as { guestPort: number }[];
    assert.deepEqual(
      listed.map(({ guestPort }) => guestPort),
      [80, 3000],
    );
    assert.equal((await control("exposure.remove", { guestPort: 3000 })).status, 200);
    assert.equal((await bench.ask(domain)).status, 404);
    assert.equal((await control("exposure.remove", { guestPort: 3000 })).status, 404);
  });
});

describe("certificates and proxies", () => {
  test("a given certificate is used, and its successor once the files have changed; a broken one changes nothing", async (t) => {
    const directory = temporaryDirectory(t);
    const [certificate, key] = [path.join(directory, "site.pem"), path.join(directory, "site.key")];
    writeSite(certificate, key, "sandboxes.example");
    const bench = await openGatewayBench(t, { domain: "sandboxes.example", tls: { certificate, key }, lookMs: 20 });
    assert.equal(bench.gateway.certificatePath, null);
    const served = async (): Promise<string> => {
      const socket = connectTls({ port: bench.gateway.port, host: "127.0.0.1", rejectUnauthorized: false });
      await once(socket, "secureConnect");
      const { fingerprint256 } = socket.getPeerCertificate();
      socket.destroy();
      return fingerprint256;
    };
    const first = await served();
    assert.equal(first, new X509Certificate(readFileSync(certificate)).fingerprint256);
    writeFileSync(certificate, "nonsense");
    while (!bench.log().includes('"level":"error","event":"gateway.certificate"')) await sleep(50);
    assert.equal(await served(), first);
    writeSite(certificate, key, "sandboxes.example");
    const second = new X509Certificate(readFileSync(certificate)).fingerprint256;
    while ((await served()) !== second) await sleep(50);
  });

  test("one that is none, or is another key's, stops the server", async (t) => {
    const directory = temporaryDirectory(t);
    const [certificate, key] = [path.join(directory, "site.pem"), path.join(directory, "site.key")];
    writeFileSync(certificate, "x");
    await assert.rejects(openGatewayBench(t, { tls: { certificate, key } }), { code: "config_invalid" });
  });

  test("a key that all can read, or others change, stops the server; one that a group can read does not", async (t) => {
    const directory = temporaryDirectory(t);
    const [certificate, key] = [path.join(directory, "site.pem"), path.join(directory, "site.key")];
    writeSite(certificate, key, "sandboxes.example");
    const settings = { domain: "sandboxes.example", tls: { certificate, key } };
    for (const mode of [0o644, 0o660, 0o604]) {
      chmodSync(key, mode);
      await assert.rejects(openGatewayBench(t, settings), { code: "config_invalid", hint: `chmod 640 ${key}` });
    }
    chmodSync(key, 0o640);
    await openGatewayBench(t, settings);
  });

  test("behind a proxy it speaks HTTP, believes what that says of the client, and serves each request by itself", async (t) => {
    const bench = await openGatewayBench(t, { domain: "sandboxes.example", tls: "proxy" });
    await bench.serve((request, response) => response.end(JSON.stringify(request.headers)));
    const domain = await bench.expose();
    assert.match(domain, /^[a-z2-7]{26}\.sandboxes\.example:\d+$/);
    const response = await rawHttp(
      bench.gateway.port,
      `GET / HTTP/1.1\r\nHost: ${domain}\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: http\r\nConnection: keep-alive\r\n\r\n`,
    );
    const headers = JSON.parse(response.slice(response.indexOf("{"), response.lastIndexOf("}") + 1)) as Record<
      string,
      string
    >;
    assert.deepEqual(headers, {
      host: domain,
      "x-forwarded-for": "203.0.113.7",
      "x-forwarded-proto": "https",
      "x-forwarded-host": domain,
      connection: "close",
    });
  });
});

test("an answer that is under way comes to its end when the server does", async (t) => {
  const organisations = new FakeOrganisations();
  const bench = await openGatewayBench(t, { organisations });
  const begun = Promise.withResolvers<() => void>();
  await bench.serve((_request, response) => {
    response.write("begun ");
    begun.resolve(() => response.end("and done"));
  });
  const domain = await bench.expose();
  const asked = bench.ask(domain);
  const finish = await begun.promise;
  const ended = bench.server[Symbol.asyncDispose]();
  await sleep(50);
  finish();
  assert.equal((await asked).text, "begun and done");
  await ended;
});

test("programs of Node find names below localhost once they are told how", async () => {
  const script = `
    const { lookup } = await import("node:dns/promises");
    const { lookup: callback } = await import("node:dns");
    const found = await new Promise((resolve) => callback("X.localhost.", { all: true }, (_error, all) => resolve(all)));
    const [one] = [await lookup("k3vq.localhost")];
    console.log(JSON.stringify([one.address, found.length > 0, await lookup("no-such.invalid").then(() => "?", (error) => error.code)]));`;
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...["--require", localhostNamesPath(), "--input-type=module", "--eval", script],
  ]);
  const [address, found, other] = JSON.parse(stdout) as [string, boolean, string];
  assert.ok(["127.0.0.1", "::1"].includes(address));
  assert.equal(found, true);
  assert.notEqual(other, "?");
});

/** A certificate for all names below a domain, signed by its own key. */
function writeSite(certificate: string, key: string, domain: string): void {
  const issuer = { commonName: domain, ...generateKeyPairSync("ec", { namedCurve: "P-256" }) };
  const validity = { notBefore: Date.now() - 1000, notAfter: Date.now() + 3_600_000 };
  writeFileSync(key, issuer.privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  writeFileSync(certificate, toPem(makeLeafCertificate(issuer, `*.${domain}`, issuer.publicKey, validity)));
}

async function rawHttp(port: number, bytes: string): Promise<string> {
  const socket = connectTcp({ port, host: "127.0.0.1" });
  socket.write(bytes);
  return text(socket);
}
