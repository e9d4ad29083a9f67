/** What the guest's resolver says, for every kind of record and of name, and what it never says. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { buildPolicy, draftRule, extendPolicy } from "../../../src/policy/build-policy.ts";
import { Policy } from "../../../src/policy/policy.ts";
import type { AuditEvent } from "../../../src/egress/audit-event.ts";
import { Resolver } from "../../../src/egress/dns/resolver.ts";
import { SyntheticNames } from "../../../src/egress/dns/synthetic-names.ts";
import { query, type QueryOptions, readReply, type Reply, TYPES, wireLabel, wireName, words } from "./dns-message.ts";

const OPTION = { kind: "option", option: "--allow-net" } as const;
const RCODES = {
  ok: 0,
  formatError: 1,
  serverFailure: 2,
  noSuchName: 3,
  notImplemented: 4,
  refused: 5,
  badVersion: 16,
};

function openResolver(...allowed: string[]) {
  const events: AuditEvent[] = [];
  let clockMs = 0;
  const names = new SyntheticNames({ now: () => clockMs, maxNames: 100 });
  let policy = new Policy(
    buildPolicy({ mode: "none", rules: allowed.map((text) => draftRule("allow", text, OPTION)), expressions: [] }),
  );
  const resolver = new Resolver({
    decideName: (name) => policy.decideName(name),
    names,
    audit: (event) => events.push(event),
    searchDomains: ["corp.example"],
    now: () => clockMs,
  });
  return {
    resolver,
    names,
    events,
    pass: (ms: number) => (clockMs += ms),
    change: (verdict: "allow" | "deny", text: string) => {
      policy = new Policy(extendPolicy(policy.spec, [draftRule(verdict, text, OPTION)]));
    },
    ask: (name: string | Buffer, options?: QueryOptions): Reply =>
      readReply(resolver.answer(query(name, options), "udp")),
  };
}

describe("an allowed name", () => {
  test("has an IPv4 and an IPv6 address of its own, for a minute", () => {
    const { ask, names } = openResolver("*.example.com");
    const ipv4 = ask("a.example.com", { type: TYPES.A });
    assert.deepEqual(ipv4.answers, [{ type: TYPES.A, class: 1, ttl: 60, value: "198.18.0.1" }]);
    const ipv6 = ask("a.example.com", { type: TYPES.AAAA });
    assert.deepEqual(ipv6.answers, [
      { type: TYPES.AAAA, class: 1, ttl: 60, value: "fd73:6278:0000:0001:0000:0000:0000:0001" },
    ]);
    assert.equal(ask("b.example.com").answers[0]?.value, "198.18.0.2");
    assert.equal(ask("a.example.com").answers[0]?.value, "198.18.0.1");
    assert.equal(names.findName("198.18.0.1"), "a.example.com");
    assert.equal(names.findName("fd73:6278:0:1::2"), "b.example.com");
  });

  test("is answered with the bits that a client looks for, and with its own question", () => {
    const { ask } = openResolver("example.com");
    const reply = ask("eXaMpLe.CoM", { id: 0xbeef, flags: 0x0110 });
    assert.deepEqual(
      { ...reply, question: reply.question.toString("latin1"), answers: reply.answers.length },
      {
        id: 0xbeef,
        response: true,
        opcode: 0,
        truncated: false,
        recursionDesired: true,
        recursionAvailable: true,
        rcode: 0,
        question: Buffer.concat([wireName("eXaMpLe.CoM"), words(1, 1)]).toString("latin1"),
        answers: 1,
        edns: null,
      },
    );
  });

  test("is the same name in whatever case, and by its A-labels", () => {
    const { ask, names } = openResolver("bücher.example");
    const address = ask("XN--Bcher-KVA.Example").answers[0]?.value;
    assert.equal(ask("xn--bcher-kva.example").answers[0]?.value, address);
    assert.equal(names.size, 1);
  });

  test("has nothing else: no other type of record exists, and none takes an address", () => {
    const { ask, names } = openResolver("example.com");
    for (const [type, number] of Object.entries(TYPES)) {
      if (["A", "AAAA", "ANY", "OPT", "TKEY", "TSIG", "IXFR", "AXFR", "MAILB", "MAILA"].includes(type)) continue;
      const { rcode, answers } = ask("example.com", { type: number });
      assert.deepEqual([type, rcode, answers], [type, RCODES.ok, []]);
    }
    assert.equal(ask("example.com", { type: 65_280 }).answers.length, 0);
    assert.equal(names.size, 0);
  });

  test("is answered with both addresses where anything is asked for", () => {
    const { ask } = openResolver("example.com");
    assert.deepEqual(
      ask("example.com", { type: TYPES.ANY }).answers.map(({ type }) => type),
      [TYPES.A, TYPES.AAAA],
    );
    assert.equal(ask("example.com", { class: 255 }).answers.length, 1);
  });

  test("gives itself back for its addresses", () => {
    const { ask } = openResolver("a.example.com");
    ask("a.example.com");
    const ipv4 = ask("1.0.18.198.in-addr.arpa", { type: TYPES.PTR });
    assert.deepEqual(ipv4.answers, [{ type: TYPES.PTR, class: 1, ttl: 60, value: "a.example.com" }]);
    const nibbles = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.0.0.8.7.2.6.3.7.d.f.IP6.ARPA";
    assert.equal(ask(nibbles, { type: TYPES.PTR }).answers[0]?.value, "a.example.com");
    assert.deepEqual(ask("1.0.18.198.in-addr.arpa", { type: TYPES.TXT }).answers, []);
  });

  test("may be this machine's own loopback, if a rule names it", () => {
    assert.equal(openResolver("host.sbx.internal:8080").ask("host.sbx.internal").answers[0]?.value, "198.18.0.1");
    assert.equal(openResolver().ask("host.sbx.internal").rcode, RCODES.refused);
  });
});

describe("a denied name", () => {
  test("is refused for every type of record, and nothing is told apart", () => {
    const { ask, names } = openResolver("example.com");
    for (const type of [...Object.values(TYPES), 0, 65_280, 65_535]) {
      const { rcode, answers } = ask("canary-0123456789abcdef.evil.test", { type, edns: 1232 });
      assert.deepEqual([type, rcode, answers], [type, RCODES.refused, []]);
    }
    for (const name of ["", "com", "example.com.evil.test", "a.example.com", "xexample.com"]) {
      assert.equal(ask(name).rcode, RCODES.refused, name);
    }
    assert.equal(names.size, 0);
  });

  test("is told the reason and the command that would allow it, if the query can take that", () => {
    const { ask, events } = openResolver();
    const reply = ask("evil.test", { edns: 4096, dnssec: true });
    assert.deepEqual(reply.edns, {
      udpBytes: 1232,
      dnssec: true,
      extended: {
        code: 15,
        text: "blocked by sbx: no rule allows evil.test; to allow it: sbx net allow SANDBOX evil.test",
      },
    });
    assert.equal(ask("evil.test").edns, null);
    const [event] = events;
    assert.equal(events.length, 1);
    assert.deepEqual(
      { ...event, time: 0 },
      {
        time: 0,
        kind: "dns",
        verdict: "deny",
        via: "resolver",
        host: "evil.test",
        rule: null,
        reason: "no rule allows evil.test",
        fix: ["net", "allow", "SANDBOX", "evil.test"],
      },
    );
  });

  test("is told which rule denies it", () => {
    const { ask, change, events } = openResolver("*.example.com");
    change("deny", "*.secret.example.com");
    const reply = ask("a.secret.example.com", { edns: 1232 });
    assert.equal(
      reply.edns?.extended?.text,
      'blocked by sbx: a.secret.example.com is denied by "deny *.secret.example.com"',
    );
    assert.equal(events[0]?.rule?.id, "r2");
  });

  test("that is as long as a name can be is refused within the size of any answer", () => {
    const { ask, resolver } = openResolver();
    const name = Array.from({ length: 4 }, (_, at) => "x".repeat(at === 3 ? 61 : 63)).join(".");
    assert.equal(name.length, 253);
    const reply = ask(name, { edns: 512 });
    assert.deepEqual(
      [reply.rcode, reply.truncated, reply.edns?.extended],
      [RCODES.refused, false, { code: 15, text: "" }],
    );
    assert.ok((resolver.answer(query(name, { edns: 512 }), "udp")?.length ?? 0) <= 512);
    assert.ok((ask(name, { edns: 1232 }).edns?.extended?.text.length ?? 0) > 500);
  });

  test("whose bytes are no host's is refused, also where it looks like an allowed one", () => {
    const { ask, events, names } = openResolver("*.example.com", "a.example.com");
    const labels = (...parts: (string | Buffer)[]): Buffer =>
      Buffer.concat([...parts.map((part) => wireLabel(Buffer.from(part))), Buffer.from([0])]);
    const hostile = [
      labels("a.example.com"),
      labels("a", "example.com"),
      labels("evil.test\0", "example", "com"),
      labels("a b", "example", "com"),
      labels(Buffer.from([0xc3, 0xa4]), "example", "com"),
      labels("%61", "example", "com"),
      labels("*", "example", "com"),
      labels("a\r\nb", "example", "com"),
      labels("-a", "example", "com"),
    ];
    for (const name of hostile) assert.equal(ask(name).rcode, RCODES.refused, name.toString("latin1"));
    assert.equal(names.size, 0);
    assert.ok(events.some(({ host }) => host === "evil\\046test\\000.example.com"));
    for (const { host = "" } of events) assert.match(host, /^[\w.\\-]*$/);
  });

  test("that is an address in disguise is refused in every notation", () => {
    const { ask } = openResolver("127.0.0.1", "8.8.8.8");
    for (const name of ["8.8.8.8", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "a.1"]) {
      assert.deepEqual(ask(name).answers, [], name);
    }
  });
});

describe("names that are nobody's business but the sandbox's", () => {
  test("localhost and what is below it is the sandbox itself", () => {
    const { ask, events } = openResolver();
    assert.equal(ask("localhost").answers[0]?.value, "127.0.0.1");
    assert.equal(
      ask("App.LOCALHOST", { type: TYPES.AAAA }).answers[0]?.value,
      "0000:0000:0000:0000:0000:0000:0000:0001",
    );
    assert.deepEqual(
      [ask("localhost", { type: TYPES.MX }).rcode, ask("localhost", { type: TYPES.MX }).answers],
      [0, []],
    );
    assert.equal(ask("1.0.0.127.in-addr.arpa", { type: TYPES.PTR }).answers[0]?.value, "localhost");
    assert.equal(ask("xlocalhost").rcode, RCODES.refused);
    assert.equal(events.length, 1);
  });

  test("addresses that stand for no name have none, and that is no event", () => {
    const { ask, events } = openResolver();
    for (const name of [
      "8.8.8.8.in-addr.arpa",
      "1.0.18.198.in-addr.arpa",
      "in-addr.arpa",
      "8.ip6.arpa",
      "x.in-addr.arpa",
    ]) {
      assert.equal(ask(name, { type: TYPES.PTR }).rcode, RCODES.noSuchName, name);
    }
    assert.deepEqual(events, []);
  });

  test("a name that the guest's search list made does not exist, so that the client tries the name itself", () => {
    const { ask, events } = openResolver("api.example.com", "db.corp.example");
    assert.equal(ask("api.example.com.corp.example").rcode, RCODES.noSuchName);
    assert.equal(ask("corp.example").rcode, RCODES.noSuchName);
    assert.equal(ask("db.corp.example").answers.length, 1);
    assert.equal(ask("xcorp.example").rcode, RCODES.refused);
    assert.equal(events.length, 1);
  });
});

describe("changes while it runs", () => {
  test("a name that is allowed at once has an address; one that is denied keeps its address for connections to be judged", () => {
    const { ask, change, names } = openResolver("a.test");
    assert.equal(ask("b.test").rcode, RCODES.refused);
    change("allow", "b.test");
    assert.equal(ask("b.test").answers[0]?.value, "198.18.0.1");
    change("deny", "b.test");
    assert.equal(ask("b.test").rcode, RCODES.refused);
    assert.equal(names.findName("198.18.0.1"), "b.test");
  });

  test("when all addresses are taken, a new name fails, is told so, and takes none away", () => {
    const { ask, names, pass } = openResolver("*.a.test");
    for (let at = 1; at <= 100; at++) assert.equal(ask(`h${at}.a.test`).answers.length, 1);
    const reply = ask("h101.a.test", { edns: 1232 });
    assert.deepEqual([reply.rcode, reply.answers], [RCODES.serverFailure, []]);
    assert.equal(reply.edns?.extended?.text, "sbx has no address left for another name");
    assert.equal(names.findName("198.18.0.1"), "h1.a.test");
    pass(3_600_000);
    assert.equal(ask("h101.a.test").answers[0]?.value, "198.18.0.1");
  });
});

describe("queries that are none", () => {
  const { resolver } = openResolver("example.com");
  const answer = (message: Buffer) => resolver.answer(message, "udp");

  test("what is too short or an answer itself gets no answer", () => {
    for (let length = 0; length < 12; length++) assert.equal(answer(Buffer.alloc(length)), null);
    assert.equal(answer(query("example.com", { flags: 0x8100 })), null);
    assert.equal(answer(Buffer.alloc(12, 0xff)), null);
  });

  test("other operations are not implemented", () => {
    for (let opcode = 1; opcode < 16; opcode++) {
      const reply = readReply(answer(query("example.com", { flags: opcode << 11 })));
      assert.deepEqual([reply.rcode, reply.opcode, reply.question.length], [RCODES.notImplemented, opcode, 0]);
    }
  });

  test("other classes, transfers and signatures are refused", () => {
    for (const kind of [0, 2, 3, 4, 254, 256, 65_535]) {
      assert.equal(readReply(answer(query("example.com", { class: kind }))).rcode, RCODES.refused);
    }
    assert.equal(readReply(answer(query("version.bind", { class: 3, type: TYPES.TXT }))).rcode, RCODES.refused);
    for (const type of [0, TYPES.OPT, TYPES.TKEY, TYPES.TSIG, TYPES.IXFR, TYPES.AXFR, TYPES.MAILB, TYPES.MAILA]) {
      assert.equal(readReply(answer(query("example.com", { type }))).rcode, RCODES.refused);
    }
  });

  test("a later version of EDNS is refused with the version that there is", () => {
    const reply = readReply(answer(query("example.com", { edns: 1232, ednsVersion: 1 })));
    assert.deepEqual([reply.rcode, reply.answers], [RCODES.badVersion, []]);
  });

  const malformed: Record<string, Buffer> = {
    "no question": query("example.com", { counts: [0, 0, 0, 0] }),
    "two questions": query("example.com", {
      counts: [2, 0, 0, 0],
      tail: Buffer.concat([wireName("a.test"), words(1, 1)]),
    }),
    "an answer": query("example.com", { counts: [1, 1, 0, 0] }),
    "an authority": query("example.com", { counts: [1, 0, 1, 0] }),
    "many additional records": query("example.com", { counts: [1, 0, 0, 5] }),
    "an additional record that is not there": query("example.com", { counts: [1, 0, 0, 1] }),
    "bytes behind": query("example.com", { tail: Buffer.from([0]) }),
    "a name without its end": query("example.com").subarray(0, 20),
    "a question without its type": query("example.com").subarray(0, -3),
    "a pointer to itself": query(Buffer.from([0xc0, 12])),
    "a pointer into the header": query(Buffer.from([0xc0, 0])),
    "a pointer behind a label": query(Buffer.from([1, 0x61, 0xc0, 12])),
    "a label of a reserved kind": query(Buffer.from([0x41, 0x61, 0])),
    "a label of 64 bytes": query(Buffer.concat([Buffer.from([64]), Buffer.alloc(64, 0x61), Buffer.from([0])])),
    "a name of 256 bytes": query(`${"x".repeat(63)}.${"x".repeat(63)}.${"x".repeat(63)}.${"x".repeat(62)}`),
    "a name of 64 KiB": query(Array.from({ length: 1000 }, () => "x".repeat(63)).join(".")),
    "two OPT records": query("example.com", {
      edns: 1232,
      counts: [1, 0, 0, 2],
      tail: Buffer.concat([Buffer.from([0]), words(41, 1232, 0, 0, 0)]),
    }),
    "an OPT record with a name": query("example.com", {
      counts: [1, 0, 0, 1],
      tail: Buffer.concat([wireName("a"), words(41, 1232, 0, 0, 0)]),
    }),
    "an OPT record that is longer than the message": query("example.com", {
      counts: [1, 0, 0, 1],
      tail: Buffer.concat([Buffer.from([0]), words(41, 1232, 0, 0, 9)]),
    }),
  };
  for (const [title, message] of Object.entries(malformed)) {
    test(`${title}: a format error`, () => {
      const reply = readReply(answer(message));
      assert.deepEqual([reply.id, reply.rcode, reply.answers], [0x1234, RCODES.formatError, []]);
    });
  }

  test("options of EDNS, padding and cookies are taken and mean nothing", () => {
    const options = Buffer.concat([words(12, 4, 0, 0), words(10, 8, 1, 2, 3, 4), words(65_001, 0)]);
    const opt = Buffer.concat([Buffer.from([0]), words(41, 1232, 0, 0, options.length), options]);
    const reply = readReply(answer(query("example.com", { counts: [1, 0, 0, 1], tail: opt })));
    assert.deepEqual([reply.rcode, reply.answers.length, reply.edns?.extended], [RCODES.ok, 1, null]);
  });

  test("a record that is signed is answered without a signature", () => {
    const record = Buffer.concat([Buffer.from([0xc0, 12]), words(TYPES.TSIG, 255, 0, 0, 2, 7)]);
    assert.equal(readReply(answer(query("example.com", { counts: [1, 0, 0, 1], tail: record }))).rcode, RCODES.ok);
  });
});

describe("datagrams", () => {
  test("to port 53 are answered to whoever sent them, others are not", () => {
    const { resolver } = openResolver("example.com");
    const replies: Buffer[] = [];
    const send = (port: number, payload: Buffer): boolean =>
      resolver.answerDatagram({
        guest: { address: "198.19.0.2", port: 40_000 },
        target: { address: "198.19.0.1", port },
        payload,
        reply: (reply) => replies.push(reply),
      });
    assert.equal(send(53, query("example.com")), true);
    assert.equal(send(5353, query("example.com")), false);
    assert.equal(send(853, query("example.com")), false);
    assert.equal(send(53, Buffer.from("noise")), false);
    assert.equal(replies.length, 1);
    assert.equal(readReply(replies[0] ?? null).answers.length, 1);
  });
});
