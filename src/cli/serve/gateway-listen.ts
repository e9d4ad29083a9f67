/** Where a gateway of a control plane is to listen: what the option says, else the configuration, else a port of its own. */
import { SbxError } from "../../runtime/errors.ts";
import { parseListenAddress, type ListenAddress } from "../parsers/listen-address.ts";

/** In place of an address: no gateway. */
const OFF = "off";

/** An address, or none at all. */
export type DoorListen = ListenAddress | typeof OFF;

/** @throws SbxError `usage` */
export function parseDoorListen(text: string): DoorListen {
  return text === OFF ? OFF : parseListenAddress(text);
}

export interface DoorListenWishes {
  /** Of the command line. */
  wish: DoorListen | undefined;
  /** Of the configuration, its key there, and the file that it is in. */
  configured: string | null;
  key: string;
  file: string | undefined;
  /** Where neither says anything; a free port if that one is taken. */
  fallback: string;
}

/** Undefined for `off`. @throws SbxError `config_invalid` */
export function findDoorListen(wishes: DoorListenWishes): { listen: ListenAddress; orFreePort: boolean } | undefined {
  // Read even where the option goes before it: what is wrong in the file is said.
  const configured = parseConfigured(wishes);
  const given = wishes.wish ?? configured;
  if (given === OFF) return undefined;
  return { listen: given ?? parseListenAddress(wishes.fallback), orFreePort: given === undefined };
}

function parseConfigured({ configured, key, file }: DoorListenWishes): DoorListen | undefined {
  if (configured === null) return undefined;
  try {
    return parseDoorListen(configured);
  } catch (error) {
    if (!(error instanceof SbxError)) throw error;
    throw new SbxError("config_invalid", `${file ?? ""}: ${key}: ${error.message}`, { hint: error.hint ?? "" });
  }
}
