/** Ways to sandboxes other than the API, where the server offers them. */
import type { HttpDoor } from "./gateway/http-door.ts";
import type { SshDoor } from "./ssh/ssh-door.ts";

export interface Doors {
  ssh?: SshDoor;
  http?: HttpDoor;
}
