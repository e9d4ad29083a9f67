/** Rules by method and path: what matches, and that no spelling of a path gets around a rule. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parsePathGlob } from "../../../src/policy/path-glob.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { policyOf, requestTarget } from "./policy-text.ts";

interface Section {
  policy: readonly string[];
  allow?: readonly string[];
  deny?: readonly string[];
}

const HOST = "a.test:443";
/** Requests to `a.test:443` with GET, from their targets. */
const get = (...targets: string[]): string[] => targets.map((target) => `GET ${HOST}${target}`);

/** Paths that one server or another takes for `/admin`, or for something below it. */
const ADMIN_IN_DISGUISE = get(
  ...["/admin", "/admin?x=1", "/admin/", "/ADMIN", "/Admin/", "//admin", "///admin//", "/./admin", "/x/../admin"],
  ...["/x/..//admin", "/x//../admin", "/%61dmin", "/%41DMIN", "/%2e/admin", "/x/%2e%2e/admin", "/x/.%2E/admin"],
  ...["/%2fadmin", "/%2Fadmin", "/x%2f..%2fadmin", "/..%2fadmin", "/x/..%5cadmin", "/\\admin", "/x\\..\\admin"],
  ...["/admin%00", "/admin%00.png", "/admin;x=1", "/;x=1/admin", "/admin%3bx", "/admin%3Fx", "/admin%23x", "/admin#x"],
  ...["/%2561dmin", "/%252e%252e/admin", "/admin%252fx", "/%25%36%31dmin", "/%c0%afadmin", "/%e0%80%afadmin"],
  ...["/admin%ff", "/%zzadmin", "/admin%", "/admin%0d%0a", "/admin%7f", "/\u00e4/../admin", "/admin\t", "/ admin"],
  ...["", "*", "admin", "http://a.test/admin", `/${"x".repeat(17_000)}`],
);

const SECTIONS: readonly Section[] = [
  {
    policy: ["+ a.test:443 GET,HEAD /v1/*"],
    allow: [
      ...get("/v1/x", "/v1/x?y=/../z", "/v1/x%20y", "/v1/%7Ex", "/v1/.x", "/v1/...", "/v1/x:y@z,w"),
      `HEAD ${HOST}/v1/x`,
    ],
    deny: [
      ...get("/v1", "/v1/", "/v1/x/", "/v1/x/y", "/v2/x", "/", "/V1/x", "/v1x/x", "/x/v1/x"),
      ...[`POST ${HOST}/v1/x`, `get ${HOST}/v1/x`, `GETX ${HOST}/v1/x`, "GET a.test:80/v1/x", "GET b.test:443/v1/x"],
    ],
  },
  {
    policy: ["+ a.test * /v1/**"],
    allow: get("/v1", "/v1/", "/v1/x", "/v1/x/y/z", "/v1/x/", "/v1/x?q"),
    deny: get(
      ...["/", "/v2", "/v1x", "/V1/x", "/v1/../admin", "/v1/%2e%2e/admin", "/v1/x/../../admin", "/v1/.."],
      ...["/v1/..%2fadmin", "/v1/%2e%2e%2fadmin", "/v1/..;/admin", "/v1/x;/y", "/v1/%5c..%5cadmin", "/v1\\..\\admin"],
      ...["/v1/%252e%252e/admin", "/v1/%00", "/v1/x%2fy", "/x/../v1/y", "/./v1/y", "//v1/y", "/v1/%c0%ae%c0%ae/admin"],
      ...["/v1/\u00e4", "/v1/%", "/v1/#x", "/v1/%0a", "", "*", "v1/x", `/v1/${"x".repeat(17_000)}`],
    ),
  },
  {
    policy: ["+ a.test * /a/**/z"],
    allow: get("/a/z", "/a/b/z", "/a/b/c/z", "/a/z/z"),
    deny: get("/a", "/z", "/a/b", "/a/zz"),
  },
  { policy: ["+ a.test * /**"], allow: get("/", "/x", "/x/y/"), deny: get("/x%2fy", "/x;y", "*") },
  { policy: ["+ a.test * /**/a/**/b"], allow: get("/a/b", "/x/a/y/b", "/a/b/a/b"), deny: get("/a", "/b/a", "/b") },
  {
    policy: ["+ a.test * /f/*.txt"],
    allow: get("/f/x.txt", "/f/.txt"),
    deny: get("/f/x.txt.exe", "/f/x/y.txt", "/f/txt"),
  },
  {
    policy: ["+ a.test * /f/a*b*c"],
    allow: get("/f/abc", "/f/a1b2c", "/f/abcbc"),
    deny: get("/f/ab", "/f/acb", "/f/abca"),
  },
  { policy: ["+ a.test * /"], allow: get("/", "/?x"), deny: get("/x", "//", "/.", "") },
  { policy: ["+ a.test * /v1/,/v2"], allow: get("/v1/", "/v2"), deny: get("/v1", "/v2/") },
  { policy: ["+ a.test * /ü/*"], allow: get("/%c3%bc/x"), deny: get("/%fc/x", "/u/x") },
  { policy: ["+ a.test OPTIONS"], allow: [`OPTIONS ${HOST}*`], deny: get("/") },
  // What is denied by path is denied in each spelling, and what is clearly elsewhere is not.
  {
    policy: ["+ a.test", "- a.test * /admin/**"],
    allow: get("/", "/x", "/administrator", "/x/admin", "/admi", "/x?/admin", "/x%20admin", "/.admin", "/v1/admin"),
    deny: [...ADMIN_IN_DISGUISE, ...get("/admin/x", "/admin/x/y", "/admin/../admin/x", "/admin/../x", "/x/../admin/y")],
  },
  { policy: ["open", "- a.test * /admin"], allow: get("/admin/x", "/x"), deny: ADMIN_IN_DISGUISE },
  { policy: ["open", "- *.test * /admin/"], allow: get("/x"), deny: ADMIN_IN_DISGUISE },
  { policy: ["js true", "- a.test * /admin"], deny: ADMIN_IN_DISGUISE },
  // Nor does an allow rule hold for any spelling but the plain ones.
  {
    policy: ["+ a.test * /admin"],
    allow: get("/admin", "/admin?x=1", "/%61dmin"),
    deny: ADMIN_IN_DISGUISE.filter((text) => !get("/admin", "/admin?x=1", "/%61dmin").includes(text)),
  },
  {
    policy: ["+ a.test", "- a.test POST,DELETE"],
    allow: [...get("/"), `PUT ${HOST}/`, `POSTX ${HOST}/`],
    deny: [`POST ${HOST}/`, `post ${HOST}/`, `Delete ${HOST}/x`],
  },
  {
    policy: ["+ a.test", "- a.test:443 POST /v1/*"],
    allow: [...get("/v1/x"), `POST ${HOST}/v2/x`, "POST a.test:80/v1/x"],
    deny: [`POST ${HOST}/v1/x`, `POST ${HOST}/v1%2fx`, `post ${HOST}//V1/x/`],
  },
  { policy: ["+ a.test GET", "- a.test"], deny: get("/") },
  { policy: ["open", "- a.test"], deny: get("/") },
  { policy: ["+ a.test"], allow: [...get("/", "/x%2fy", "*", ""), `ANY ${HOST}/x;y`], deny: ["GET b.test:443/"] },
  { policy: ["open"], allow: ["GET 8.8.8.8:80/"], deny: ["GET 10.0.0.5:80/", "GET [::1]:80/", "GET 0x7f.1:80/"] },
  { policy: ["+ 10.0.0.5:80 GET"], allow: ["GET 10.0.0.5:80/"], deny: ["POST 10.0.0.5:80/", "GET 10.0.0.6:80/"] },
];

describe("requests", () => {
  for (const { policy, allow = [], deny = [] } of SECTIONS) {
    const instance = policyOf(...policy);
    // So many rules for one host are found by an index of their paths; on another port, they mean nothing here.
    const padding = Array.from({ length: 20 }, (_, at) => [
      `+ a.test:9 * /pad${at}`,
      `- a.test:9 * /admin/pad${at}/**`,
    ]);
    const indexed = policyOf(...policy, ...padding.flat());
    const check = (text: string, verdict: string): void => {
      test(`[${policy.join(" | ")}] ${JSON.stringify(text.slice(0, 80))}: ${verdict}`, () => {
        const { decision, askExpressions } = instance.decideRequest(requestTarget(text));
        assert.equal(decision.verdict, verdict, decision.reason);
        assert.equal(askExpressions, false);
        assert.deepEqual(indexed.decideRequest(requestTarget(text)).decision, decision);
        assert.doesNotMatch(decision.reason, /[\u0000-\u001f]/);
      });
    };
    for (const text of allow) check(text, "allow");
    for (const text of deny) check(text, "deny");
  }

  test("a denied request is told why, and of the command that would allow it", () => {
    const policy = policyOf("+ a.test:443 GET /v1/*", "- a.test * /admin/**");
    const { decision } = policy.decideRequest(requestTarget(`POST ${HOST}/v1/x`));
    assert.deepEqual(decision, {
      verdict: "deny",
      rule: null,
      reason: 'POST a.test:443 is not among the requests that "allow a.test:443 GET /v1/*" allows',
      fix: ["net", "allow", "SANDBOX", "a.test:443"],
    });
    const unclear = policy.decideRequest(requestTarget(`GET ${HOST}/v1%2fx`)).decision;
    assert.equal(
      unclear.reason,
      'GET a.test:443, whose path can be read in several ways, is denied by "deny a.test /admin/**"',
    );
  });

  test("a method that is none is not repeated as it is", () => {
    const target = { ...requestTarget("GET b.test:443/"), method: "GET\r\nx: y" };
    assert.match(policyOf("none").decideRequest(target).decision.reason, /^no rule allows b\.test:443$/);
    assert.match(
      policyOf("js true").decideRequest(target).decision.reason,
      /^no rule allows "GET\\r\\nx: y" b\.test:443$/,
    );
  });
});

describe("path patterns", () => {
  for (const text of ["/", "/*", "/**", "/v1/*", "/v1/**/x", "/v1/x*y", "/ü", "/a b", "/100%"]) {
    test(`${text} is one`, () => {
      assert.ok(parsePathGlob(text).length > 0);
    });
  }
  const refused: readonly (readonly [string, RegExp])[] = [
    ["", /does not begin with \//],
    ["v1/*", /does not begin with \//],
    ["*", /does not begin with \//],
    ["/v1/%2e", /percent-encoded/],
    ["/v1?x=1", /not part of a path/],
    ["/v1#x", /not part of a path/],
    ["/v1;x", /not part of a path/],
    ["/v1\\x", /not part of a path/],
    ["/v1\n", /not part of a path/],
    ["/v1/../x", /\. or \.\./],
    ["/./x", /\. or \.\./],
    ["//x", /empty segment/],
    ["/v1//x", /empty segment/],
    ["/v1/x**", /whole segments/],
    ["/v1/***", /whole segments/],
    [`/${"x/".repeat(70)}`, /more than 64 segments/],
    [`/${"x".repeat(2000)}`, /too long/],
  ];
  for (const [text, message] of refused) {
    test(`${JSON.stringify(text.slice(0, 30))} is a usage error`, () => {
      assert.throws(
        () => parsePathGlob(text),
        (error) => error instanceof SbxError && error.code === "usage" && message.test(error.message),
      );
    });
  }

  test("a path with thousands of segments and a pattern with many stars end soon", () => {
    const policy = policyOf(`- a.test * /${"**/a/".repeat(31)}b`, `- a.test * /${"a*".repeat(400)}b`, "+ a.test");
    const path = `/${"a/".repeat(8000)}`;
    assert.equal(policy.decideRequest(requestTarget(`GET ${HOST}${path}`)).decision.verdict, "allow");
    const long = `/${"a".repeat(16_000)}`;
    assert.equal(policy.decideRequest(requestTarget(`GET ${HOST}${long}`)).decision.verdict, "allow");
  });
});
