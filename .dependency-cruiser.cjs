/**
 * The import rule of docs/architecture.md, type-only imports included.
 * commands -> cli, runtime; only runtime/select.ts knows both runtimes; the supervisor alone composes vm, guest,
 * egress and ssh, which do not know each other; nothing imports commands.
 */
const layer = (name, from, notTo, pathNot = []) => ({
  name,
  severity: "error",
  from: { path: from, ...(pathNot.length > 0 ? { pathNot } : {}) },
  to: { path: notTo },
});

module.exports = {
  forbidden: [
    { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
    { name: "no-unresolvable", severity: "error", from: {}, to: { couldNotResolve: true } },
    layer("nothing-imports-commands", "^src/(?!commands/)", "^src/commands/"),
    layer(
      "commands-see-cli-and-runtime-only",
      "^src/commands/",
      "^src/(protocol|supervisor|vm|guest|store|egress|folders|gateway|ssh|server|deploy)/",
    ),
    layer("commands-see-the-interface-only", "^src/(commands|cli)/", "^src/runtime/(local|remote)/"),
    layer("only-select-knows-both", "^src/(?!runtime/(select\\.ts|local/|remote/))", "^src/runtime/(local|remote)/"),
    layer("remote-knows-no-machine", "^src/runtime/remote/", "^src/(runtime/local|store|vm|folders|metering)/"),
    layer("local-knows-no-server", "^src/runtime/local/", "^src/runtime/remote/"),
    layer("runtime-interface-is-bare", "^src/runtime/[^/]+\\.ts$", "^src/(cli|supervisor|vm|guest|store)/", [
      "^src/runtime/select\\.ts$",
    ]),
    layer(
      "server-sees-the-interface-only",
      "^src/server/",
      "^src/(commands|cli|supervisor|vm|guest|egress|folders|store|deploy|runtime/.+/|runtime/select\\.ts)",
    ),
    layer("only-one-part-of-the-server-speaks-ssh", "^src/server/(?!ssh/)", "^src/ssh/"),
    layer("only-the-command-line-starts-the-server", "^src/(?!server/|cli/serve/)", "^src/server/"),
    layer("mcp-sees-the-interface-only", "^src/mcp/", "^src/(?!mcp/|runtime/[^/]+\\.ts$)"),
    layer("local-does-not-link-the-supervisor", "^src/runtime/", "^src/(supervisor|guest|cli|egress|ssh)/"),
    layer("only-one-part-of-the-server-opens-a-gateway", "^src/server/(?!gateway/)", "^src/(gateway|pki)/"),
    layer("certificates-are-a-leaf", "^src/pki/", "^src/(?!pki/|policy/)"),
    layer("ssh-stands-alone", "^src/ssh/", "^src/(?!ssh/)"),
    layer("protocol-is-a-leaf", "^src/protocol/", "^src/(?!protocol/|policy/|runtime/errors\\.ts)"),
    layer("metering-is-a-leaf", "^src/metering/", "^src/(?!metering/)"),
    layer("policy-is-a-leaf", "^src/policy/", "^src/(?!policy/|runtime/errors\\.ts)"),
    layer("the-gateway-is-a-leaf", "^src/gateway/", "^src/(?!gateway/)"),
    layer("folders-are-a-leaf", "^src/folders/", "^src/(?!folders/)"),
    layer(
      "egress-stands-alone",
      "^src/egress/",
      "^src/(vm|guest|ssh|supervisor|cli|server|store|runtime/(?!(errors|types)\\.ts))",
    ),
    layer(
      "vm-stands-alone",
      "^src/vm/",
      "^src/(guest|egress|ssh|supervisor|cli|server|runtime/(?!(errors|types)\\.ts))",
    ),
    layer(
      "guest-stands-alone",
      "^src/guest/",
      "^src/(vm|egress|ssh|supervisor|cli|server|store|runtime/(?!(errors|types)\\.ts))",
    ),
    layer(
      "store-stands-alone",
      "^src/store/",
      "^src/(vm|guest|egress|ssh|supervisor|cli|server|runtime/(?!(errors|types)\\.ts))",
    ),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default", "types"] },
  },
};
