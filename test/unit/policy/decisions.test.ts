/** What a policy says of connections: lines of policies, and for each a list of targets with their verdicts. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { policyOf, connectionTarget, requestTarget } from "./policy-text.ts";

interface Section {
  policy: readonly string[];
  /** Targets that are allowed with whatever they carry. */
  allow?: readonly string[];
  /** Targets of which single requests may be allowed, and nothing but HTTP. */
  requests?: readonly string[];
  deny?: readonly string[];
}

const PUBLIC = ["93.184.216.34:443", "[2606:2800:220:1::1]:443", "example.com:443", "a.b.c.example.test:25"];

/** One address of each closed range, with the edges of some, and the neighbours that are public. */
const CLOSED = [
  ...["0.0.0.0:80", "0.1.2.3:80", "0.255.255.255:80"],
  ...["10.0.0.0:80", "10.0.0.5:5432", "10.255.255.255:80"],
  ...["100.64.0.0:80", "100.64.0.1:80", "100.127.255.255:80", "100.100.100.200:80"],
  ...["127.0.0.1:80", "127.1.2.3:80", "127.255.255.255:80"],
  ...["168.63.129.16:80", "169.254.0.1:80", "169.254.169.254:80", "169.254.170.2:80", "169.254.255.255:80"],
  ...["172.16.0.0:80", "172.31.255.255:80", "192.168.0.0:80", "192.168.255.255:80"],
  ...["192.0.0.1:80", "192.0.0.192:80", "192.88.99.1:80"],
  ...["198.18.0.1:80", "198.19.0.1:53", "198.19.255.255:80"],
  ...["224.0.0.1:80", "239.255.255.255:80", "240.0.0.1:80", "255.255.255.254:80", "255.255.255.255:80"],
  ...["[::]:80", "[::1]:80", "[::2]:80", "[::10.0.0.5]:80", "[100::1]:80", "[1fff::1]:80"],
  ...["[::ffff:127.0.0.1]:80", "[::ffff:10.0.0.5]:80", "[::ffff:169.254.169.254]:80"],
  ...["[64:ff9b::10.0.0.5]:80", "[64:ff9b::127.0.0.1]:80", "[64:ff9b::169.254.169.254]:80", "[64:ff9b:1::1]:80"],
  ...["[2001::1]:80", "[2001:0:a00:5::]:80", "[2001:10::1]:80"],
  ...["[2002:a00:5::1]:80", "[2002:7f00:1::1]:80", "[2002:808:808::1]:80"],
  ...["[fc00::1]:80", "[fd00::1]:80", "[fdff:ffff::1]:80", "[fd73:6278:0:1::1]:80", "[fd00:ec2::254]:80"],
  ...["[fe80::1]:80", "[febf::1]:80", "[fec0::1]:80", "[ff02::1]:80", "[ff0e::1]:80"],
  ...["[4000::1]:80", "[8000::1]:80", "[f000::1]:80", "[fe00::1]:80"],
];

const NEXT_TO_CLOSED = [
  ...["1.0.0.0:80", "9.255.255.255:80", "11.0.0.0:80", "100.63.255.255:80", "100.128.0.0:80", "126.255.255.255:80"],
  ...["128.0.0.0:80", "168.63.129.17:80", "169.253.255.255:80", "169.255.0.0:80", "172.15.255.255:80"],
  ...["172.32.0.0:80", "192.0.1.0:80", "192.0.3.0:80", "192.167.255.255:80", "192.169.0.0:80"],
  ...["198.17.255.255:80", "198.20.0.0:80", "198.51.99.255:80", "203.0.114.0:80", "223.255.255.255:80"],
  ...["[2000::1]:80", "[2001:200::1]:80", "[2001:db7::1]:80", "[2003::1]:80", "[3ffe::1]:80"],
  ...["[64:ff9b::8.8.8.8]:80", "[::ffff:8.8.8.8]:80"],
  // For documentation: whose network uses them, uses them as public ones.
  ...["192.0.2.1:80", "198.51.100.1:80", "203.0.113.1:80", "[2001:db8::1]:80", "[3fff::1]:80"],
];

const SECTIONS: readonly Section[] = [
  { policy: ["none"], deny: [...PUBLIC, ...CLOSED, "host.sbx.internal:80", "localhost:80"] },
  { policy: ["balanced"], deny: [...PUBLIC, ...CLOSED] },
  { policy: ["open"], allow: [...PUBLIC, ...NEXT_TO_CLOSED], deny: [...CLOSED, "host.sbx.internal:80"] },
  {
    policy: ["+ api.example.com"],
    allow: ["api.example.com:1", "api.example.com:443", "api.example.com:65535", "API.example.com.:443"],
    deny: [
      ...["example.com:443", "x.api.example.com:443", "api.example.com.evil.test:443", "xapi.example.com:443"],
      ...["api.example.co:443", "api-example.com:443", "api.example.com:0", "api.example.com:65536"],
      ...["api.example.com:-1", "api.example.com:1.5", "api.example.com:NaN", "93.184.216.34:443", "*:443"],
    ],
  },
  {
    policy: ["+ api.example.com:443", "+ api.example.com:8000-8010"],
    allow: ["api.example.com:443", "api.example.com:8000", "api.example.com:8005", "api.example.com:8010"],
    deny: ["api.example.com:80", "api.example.com:442", "api.example.com:444", "api.example.com:7999"],
  },
  {
    policy: ["+ *.example.com:443"],
    allow: ["a.example.com:443", "a.b.example.com:443", "a.b.c.d.example.com:443", "_x.example.com:443"],
    deny: ["example.com:443", "a.example.com:80", "aexample.com:443", "a.example.com.evil.test:443", "com:443"],
  },
  {
    policy: ["+ bücher.example"],
    allow: ["bücher.example:1", "BÜCHER.example:1", "xn--bcher-kva.example:1", "XN--bcher-kva.EXAMPLE.:1"],
    deny: ["bucher.example:1", "xn--bcher-kva.example.evil.test:1"],
  },
  // A deny rule wins, whatever the order.
  {
    policy: ["+ *.example.com", "- secret.example.com"],
    allow: ["a.example.com:443", "x.secret.example.com:443"],
    deny: ["secret.example.com:443", "SECRET.example.com.:443"],
  },
  {
    policy: ["- *.internal.example.com", "+ *.example.com", "+ db.internal.example.com:5432"],
    allow: ["a.example.com:443", "internal.example.com:443"],
    deny: ["db.internal.example.com:5432", "a.b.internal.example.com:443"],
  },
  {
    policy: ["open", "- evil.test", "- *.evil.test", "- *:25", "- 8.8.8.0/24"],
    allow: ["example.com:443", "8.8.9.8:443", "notevil.test:443", "8.8.8.8.example.com:443"],
    deny: [
      ...["evil.test:443", "a.evil.test:443", "example.com:25", "8.8.4.4:25", "8.8.8.8:443", "[::ffff:8.8.8.8]:443"],
      "[64:ff9b::8.8.8.8]:443",
    ],
  },
  { policy: ["open", "- *"], deny: [...PUBLIC, ...CLOSED, "host.sbx.internal:80"] },
  { policy: ["+ example.com", "- *"], deny: ["example.com:443"] },
  { policy: ["+ example.com", "- example.com:22,25"], allow: ["example.com:443"], deny: ["example.com:22"] },
  { policy: ["open", "- *.test"], allow: ["example.com:1", "test:1"], deny: ["a.test:1", "a.b.test:1"] },
  // Addresses and ranges.
  {
    policy: ["+ 93.184.216.34:443"],
    allow: ["93.184.216.34:443", "[::ffff:93.184.216.34]:443", "[::ffff:5db8:d822]:443"],
    deny: [
      ...["93.184.216.34:80", "93.184.216.35:443", "[64:ff9b::93.184.216.34]:443", "example.com:443"],
      ...["1572395042:443", "0x5db8d822:443", "0135.0270.0330.042:443", "93.184.55330:443", "093.184.216.34:443"],
    ],
  },
  {
    policy: ["+ 10.0.0.0/8:5432"],
    allow: ["10.0.0.5:5432", "10.255.255.255:5432", "[::ffff:10.0.0.5]:5432"],
    deny: ["10.0.0.5:80", "11.0.0.5:5432", "9.255.255.255:5432", "[64:ff9b::10.0.0.5]:5432", "[2002:a00:5::1]:5432"],
  },
  { policy: ["+ 127.0.0.1:8080"], allow: ["127.0.0.1:8080"], deny: ["127.0.0.2:8080", "[::1]:8080"] },
  { policy: ["+ [fd00::/8]:443"], allow: ["[fd12::1]:443"], deny: ["[fc00::1]:443", "[fd00:ec2::254]:443"] },
  { policy: ["+ 169.254.169.254:80"], allow: ["169.254.169.254:80"], deny: ["169.254.169.253:80"] },
  // A wide range is about the Internet: it opens nothing that is closed, and a closed range no metadata service.
  { policy: ["+ 0.0.0.0/0"], allow: NEXT_TO_CLOSED.slice(0, 21), deny: [...CLOSED, "[2003::1]:80"] },
  { policy: ["+ ::/0"], allow: ["[2003::1]:80", "[64:ff9b::8.8.8.8]:80"], deny: [...CLOSED, "8.8.8.8:80"] },
  { policy: ["+ 172.0.0.0/8"], allow: ["172.15.0.1:80"], deny: ["172.16.0.1:80", "172.31.255.255:80"] },
  { policy: ["+ 169.254.0.0/16"], allow: ["169.254.1.1:80"], deny: ["169.254.169.254:80", "169.254.170.2:80"] },
  { policy: ["+ 100.64.0.0/10"], allow: ["100.64.0.1:80"], deny: ["100.100.100.200:80"] },
  { policy: ["+ [64:ff9b::/96]:80"], allow: ["[64:ff9b::8.8.8.8]:80"], deny: ["[64:ff9b::10.0.0.5]:80"] },
  { policy: ["+ [64:ff9b::a00:0/104]:80"], allow: ["[64:ff9b::10.0.0.5]:80"], deny: ["10.0.0.5:80"] },
  { policy: ["+ 10.0.0.0/8", "- 10.1.0.0/16"], allow: ["10.2.0.1:1"], deny: ["10.1.0.1:1"] },
  { policy: ["- 10.0.0.0/8", "+ 10.1.0.0/16"], deny: ["10.1.0.1:1", "10.2.0.1:1"] },
  // This machine's own loopback.
  {
    policy: ["open", "+ host.sbx.internal:8080"],
    allow: ["host.sbx.internal:8080", "HOST.sbx.internal.:8080"],
    deny: ["host.sbx.internal:80", "127.0.0.1:8080", "[::1]:8080"],
  },
  { policy: ["+ host.sbx.internal:8080", "- host.sbx.internal"], deny: ["host.sbx.internal:8080"] },
  { policy: ["open", "js true"], deny: ["host.sbx.internal:8080", "10.0.0.5:80", "169.254.169.254:80"] },
  // Rules about requests.
  {
    policy: ["+ api.example.com:443 GET"],
    requests: ["api.example.com:443"],
    deny: ["api.example.com:80", "example.com:443"],
  },
  { policy: ["+ api.example.com * /v1/**"], requests: ["api.example.com:443", "api.example.com:80"] },
  { policy: ["+ api.example.com", "+ api.example.com:443 GET"], allow: ["api.example.com:443"] },
  {
    policy: ["+ api.example.com", "- api.example.com:443 POST"],
    allow: ["api.example.com:80"],
    requests: ["api.example.com:443"],
  },
  { policy: ["open", "- *:443 DELETE"], allow: ["example.com:80"], requests: ["example.com:443", "8.8.8.8:443"] },
  { policy: ["+ api.example.com GET", "- api.example.com"], deny: ["api.example.com:443"] },
  { policy: ["+ 10.0.0.5:80 GET"], requests: ["10.0.0.5:80"], deny: ["10.0.0.6:80"] },
  // Rules in JavaScript decide what no other rule names, whatever the mode.
  {
    policy: ["js r.method === 'GET'", "+ api.example.com:443", "- evil.test"],
    allow: ["api.example.com:443"],
    requests: ["example.com:443", "api.example.com:80", "8.8.8.8:443"],
    deny: ["evil.test:443", "10.0.0.5:443"],
  },
  { policy: ["open", "js r.method === 'GET'"], requests: ["example.com:443", "8.8.8.8:443"], deny: CLOSED },
  // Whatever is no host is denied, also where all is open.
  {
    policy: ["open"],
    deny: [
      ...["2130706433:80", "0x7f.1:80", "0177.0.0.1:80", "127.1:80", "１２７.０.０.１:80", "fe80::1%eth0:80"],
      ...["example.com%00.test:80", "a b:80", ".:80", "..:80", ":80", "*.example.com:80", "-a.example:80"],
      ...["exam\nple.com:80", "user@example.com:80", "example.com/:80", `${"a".repeat(64)}.example:80`],
    ],
  },
];

describe("connections", () => {
  for (const { policy, allow = [], requests = [], deny = [] } of SECTIONS) {
    const instance = policyOf(...policy);
    const check = (text: string, verdict: string, carries: string): void => {
      test(`[${policy.join(" | ")}] ${JSON.stringify(text)}: ${verdict}${carries === "requests" ? ", by request" : ""}`, () => {
        const target = connectionTarget(text);
        const decision = instance.decideConnection(target);
        assert.deepEqual([decision.verdict, decision.carries], [verdict, carries], decision.reason);
        assert.equal(instance.readsRequests(target), carries === "requests");
        assert.ok(decision.reason.length > 0 && !decision.reason.endsWith("."));
        assert.doesNotMatch(decision.reason, /[\u0000-\u001f]/);
      });
    };
    for (const text of allow) check(text, "allow", "anything");
    for (const text of requests) check(text, "allow", "requests");
    for (const text of deny) check(text, "deny", "anything");
  }
});

describe("names", () => {
  const cases: readonly (readonly [readonly string[], string, "allow" | "deny"])[] = [
    [["none"], "example.com", "deny"],
    [["open"], "example.com", "allow"],
    [["open"], "host.sbx.internal", "deny"],
    [["open", "- *"], "example.com", "deny"],
    [["open", "- *:443"], "example.com", "allow"],
    [["open", "- *:1-100", "- *:101-65535"], "example.com", "deny"],
    [["+ example.com:443"], "example.com", "allow"],
    [["+ example.com:443"], "EXAMPLE.com.", "allow"],
    [["+ example.com:443"], "a.example.com", "deny"],
    [["+ *.example.com"], "a.b.example.com", "allow"],
    [["+ *.example.com"], "example.com", "deny"],
    [["+ example.com:443", "- example.com"], "example.com", "deny"],
    [["+ example.com:443", "- *:443"], "example.com", "deny"],
    [["+ example.com:443-445", "- *:443", "- *.com:445"], "example.com", "allow"],
    [["+ example.com:443-445", "- *:443-444", "- *.com:445"], "example.com", "deny"],
    [["+ example.com:443 GET", "- *:443 POST"], "example.com", "allow"],
    [["+ host.sbx.internal:80"], "host.sbx.internal", "allow"],
    [["js true"], "example.com", "allow"],
    [["js true", "- example.com"], "example.com", "deny"],
    [["js true"], "host.sbx.internal", "deny"],
    [["open"], "0x7f.1", "deny"],
    [["open"], "", "deny"],
  ];
  for (const [policy, name, verdict] of cases) {
    test(`[${policy.join(" | ")}] ${JSON.stringify(name)}: ${verdict}`, () => {
      assert.equal(policyOf(...policy).decideName(name).verdict, verdict);
    });
  }
});

describe("what is told", () => {
  test("an allowance names its rule and where that was written", () => {
    const decision = policyOf("- a.test", "+ *.example.com:443").decideConnection(
      connectionTarget("a.example.com:443"),
    );
    assert.deepEqual(decision, {
      verdict: "allow",
      rule: { id: "r2", text: "allow *.example.com:443", source: { kind: "option", option: "--allow-net" } },
      reason: 'a.example.com:443 is allowed by "allow *.example.com:443"',
      fix: null,
      carries: "anything",
    });
  });

  test("a denial for want of a rule has the command that would allow it", () => {
    const policy = policyOf("none");
    const told = (text: string): unknown => {
      const { reason, fix, rule } = policy.decideConnection(connectionTarget(text));
      assert.equal(rule, null);
      return [reason, fix?.join(" ")];
    };
    assert.deepEqual(told("Example.com.:443"), ["no rule allows example.com:443", "net allow SANDBOX example.com:443"]);
    assert.deepEqual(told("[2606:2800:220:1::1]:443"), [
      "no rule allows [2606:2800:220:1::1]:443",
      "net allow SANDBOX [2606:2800:220:1::1]:443",
    ]);
    assert.deepEqual(told("169.254.169.254:80"), [
      "169.254.169.254:80 is the address of a cloud's metadata service, which only a rule that names it opens",
      "net allow SANDBOX 169.254.169.254:80",
    ]);
    assert.deepEqual(told("host.sbx.internal:80"), [
      "host.sbx.internal:80 is this machine's own loopback, which only a rule with its port opens",
      "net allow SANDBOX host.sbx.internal:80",
    ]);
    assert.deepEqual(told("0x7f.1:80"), [
      '"0x7f.1" is not a host: an IPv4 address is four decimal numbers without leading zeros',
      undefined,
    ]);
  });

  test("a denial by a rule names the first that denies, and no command, since none would help", () => {
    const policy = policyOf("open", "- *.evil.test:443", "- *.evil.test");
    const { rule, reason, fix } = policy.decideConnection(connectionTarget("a.evil.test:443"));
    assert.deepEqual([rule?.id, reason, fix], ["r1", 'a.evil.test:443 is denied by "deny *.evil.test:443"', null]);
    assert.equal(policy.decideConnection(connectionTarget("a.evil.test:80")).rule?.id, "r2");
  });

  test("following the advice of a denial allows what was denied", () => {
    for (const text of [
      "example.com:443",
      "10.0.0.5:5432",
      "[fd00::1]:443",
      "169.254.169.254:80",
      "host.sbx.internal:8080",
    ]) {
      const target = connectionTarget(text);
      const { fix } = policyOf("none").decideConnection(target);
      assert.deepEqual(fix?.slice(0, 3), ["net", "allow", "SANDBOX"]);
      assert.equal(policyOf("none", `+ ${fix[3] ?? ""}`).decideConnection(target).verdict, "allow");
    }
    const { fix } = policyOf("none").decideName("example.com");
    assert.equal(policyOf("none", `+ ${fix?.[3] ?? ""}`).decideName("example.com").verdict, "allow");
  });

  test("rules in JavaScript are asked about a request that no other rule decides", () => {
    const policy = policyOf("js r.method === 'GET'", "+ api.example.com", "- *.test", "+ x.example.com GET");
    const asked = (text: string): boolean => policy.decideRequest(requestTarget(text)).askExpressions;
    assert.equal(asked("GET example.com:443/"), true);
    assert.equal(asked("POST x.example.com:443/"), true);
    assert.equal(asked("GET x.example.com:443/"), false);
    assert.equal(asked("GET api.example.com:443/"), false);
    assert.equal(asked("GET a.test:443/"), false);
    assert.equal(asked("GET 10.0.0.5:443/"), false);
    assert.equal(asked("GET host.sbx.internal:443/"), false);
  });

  test("the answer of a rule in JavaScript becomes a decision", () => {
    const policy = policyOf("js r.host === 'example.com' \n && true");
    const target = requestTarget("GET example.com:443/");
    const [expression] = policy.spec.expressions;
    assert.ok(expression !== undefined);
    assert.deepEqual(policy.decideByExpressions(target, { verdict: "allow", expression, message: null }), {
      verdict: "allow",
      rule: { id: "e1", text: "r.host === 'example.com' && true", source: { kind: "option", option: "--rule" } },
      reason: `GET example.com:443 is allowed by "r.host === 'example.com' && true"`,
      fix: null,
    });
    const refusal = policy.decideByExpressions(target, {
      verdict: "deny",
      expression: null,
      message: "only on Mondays",
    });
    assert.deepEqual([refusal.verdict, refusal.reason], ["deny", "only on Mondays"]);
    // An allowance that no rule stands for is none.
    const odd = policy.decideByExpressions(target, { verdict: "allow", expression: null, message: null });
    assert.equal(odd.verdict, "deny");
  });
});
