/**
 * For programs of Node.js: `node --require …/localhost-names.cjs`. Names below `localhost` are this machine's (RFC 6761,
 * 6.3), as browsers and curl know. Node asks the system, and that of macOS, or glibc's without `myhostname` or
 * `resolve`, does not.
 */
"use strict";
const dns = require("node:dns");
const { syncBuiltinESMExports } = require("node:module");

const NAME = /\.localhost\.?$/i;

function knowing(lookup) {
  const wrapped = function (hostname, ...rest) {
    return lookup.call(this, typeof hostname === "string" && NAME.test(hostname) ? "localhost" : hostname, ...rest);
  };
  // What util.promisify looks for, among others.
  return Object.defineProperties(wrapped, Object.getOwnPropertyDescriptors(lookup));
}

dns.lookup = knowing(dns.lookup);
dns.promises.lookup = knowing(dns.promises.lookup);
syncBuiltinESMExports();
