/**
 * A network that ends at this machine: runs a command where every IPv4 and IPv6 address there is belongs to the loopback
 * device, so that a test can be any server of the internet, sees every packet that leaves a sandbox, and nothing reaches
 * anybody. Names are resolved at 127.0.0.1, by whoever a test starts there.
 *
 *   node scripts/closed-network.mjs COMMAND…
 *
 * A network namespace and a mount namespace (unshare(1)); it takes root, since sbx must run in it as it does elsewhere.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { rootCommand } from "./setup-system.mjs";
import { SetupError } from "./steps.mjs";

const SETUP = `
set -eu
ip link set lo up
ip route add local default dev lo
ip -6 route add local default dev lo
echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind
names=$(mktemp)
echo 'nameserver 127.0.0.1' > "$names"
chmod 644 "$names"
mount --bind "$names" /etc/resolv.conf
rm "$names"
exec "$@"`;

/** Tells tests where they are. */
export const CLOSED_NETWORK_VARIABLE = "SBX_TEST_CLOSED_NETWORK";

/**
 * The command line that runs `argv` in a closed network, and what it needs in its environment.
 *
 * @throws SetupError where there is no way to be root
 */
export function inClosedNetwork(argv) {
  const asRoot = rootCommand();
  if (asRoot === undefined) throw new SetupError("the tests of the boundary need root", "sudo npm test -- --vm");
  // sudo keeps no environment of its own accord.
  const keep = asRoot.length === 0 ? [] : ["--preserve-env"];
  const unshare = ["unshare", "--net", "--mount", "--kill-child", "--fork", "--"];
  return {
    argv: [...asRoot, ...keep, ...unshare, "sh", "-c", SETUP, "sh", ...argv],
    env: { [CLOSED_NETWORK_VARIABLE]: "1" },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { argv, env } = inClosedNetwork(process.argv.slice(2));
  const child = spawn(argv[0], argv.slice(1), { stdio: "inherit", env: { ...process.env, ...env } });
  child.on("exit", (code, signal) => (process.exitCode = code ?? (signal === null ? 1 : 128)));
}
