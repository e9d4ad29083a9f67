/**
 * A name's addresses by `getaddrinfo`, as the rest of the host's programs have them: hosts file, split DNS, mDNS.
 *
 * A name with a dot in it is looked up as an absolute one, with a final dot. Else a name that does not exist would be
 * tried again below each domain of the host's search list, and what is found there is not what was allowed. Two kinds of
 * names stay as they are: a single label, which means something in the search list alone, and one that the hosts file
 * has, since glibc and musl compare its text and find no name with a final dot in it.
 */
import { lookup as lookupCallback } from "node:dns";
import { HostsFile } from "./hosts-file.ts";
import type { Lookup } from "./resolver.ts";

/** The domain of the loopback (RFC 6761, 6.3), which modules of the system answer for by its text. */
const LOCALHOST_SUFFIX = ".localhost";

export interface SystemLookupOptions {
  hosts?: HostsFile;
  getAddresses?: Lookup;
}

export function createSystemLookup(options: SystemLookupOptions = {}): Lookup {
  const { hosts = new HostsFile("/etc/hosts"), getAddresses = getAddrInfo } = options;
  return async (name) => {
    const isAbsolute = name.includes(".") && !name.endsWith(LOCALHOST_SUFFIX) && !(await hosts.has(name));
    return getAddresses(isAbsolute ? `${name}.` : name);
  };
}

function getAddrInfo(name: string): Promise<readonly string[]> {
  return new Promise((resolve, reject) => {
    // Verbatim, because getaddrinfo has sorted them by what this host can reach (RFC 6724).
    lookupCallback(name, { all: true, order: "verbatim" }, (error, addresses) => {
      if (error === null) resolve(addresses.map(({ address }) => address));
      else reject(error);
    });
  });
}
