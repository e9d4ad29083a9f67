/** Everything that the server answers. */
import { CONTROL_PATH } from "../../protocol/control-call.ts";
import { CONTROL_ROUTES } from "../extensions/control-routes.ts";
import { EXPOSE_ROUTES } from "./expose-routes.ts";
import { APP_ROUTES } from "./app-routes.ts";
import { DEPLOY_ROUTES } from "./deploy-routes.ts";
import { LAYER_ROUTES } from "./layer-routes.ts";
import { REVISION_ROUTES } from "./revision-routes.ts";
import { SANDBOX_ROUTES } from "./sandbox-routes.ts";
import { SSH_ROUTES } from "./ssh-routes.ts";
import { SNAPSHOT_ROUTES } from "./snapshot-routes.ts";
import type { Route } from "./route.ts";
import { VOLUME_ROUTES } from "./volume-routes.ts";

export const ROUTES: readonly Route[] = [
  ...SANDBOX_ROUTES,
  ...VOLUME_ROUTES,
  ...SNAPSHOT_ROUTES,
  ...EXPOSE_ROUTES,
  ...SSH_ROUTES,
  ...APP_ROUTES,
  ...LAYER_ROUTES,
  ...REVISION_ROUTES,
  ...DEPLOY_ROUTES,
  ...CONTROL_ROUTES,
];

/** Places of other protocols: WebSockets, most of them. */
export const UPGRADES = {
  create: { path: "/api/v3/sandboxes/create", summary: "Make a sandbox, and connect to it" },
  connect: { path: "/api/v3/sandbox/:id/connect", summary: "Connect to a sandbox" },
  /** Of sbx's own: not a WebSocket, but SSH. */
  ssh: { path: `${CONTROL_PATH}/sandbox/:ref/ssh`, summary: "SSH to a sandbox, for the key that is named" },
  /** Neither. */
  import: { path: `${CONTROL_PATH}/import/:kind`, summary: "A volume or snapshot of a file that the client sends" },
} as const;

/** For whoever runs the server; they need no token, and tell nothing of any organisation. */
export const OPERATOR_PATHS = {
  health: "/healthz",
  readiness: "/readyz",
  metrics: "/metrics",
  openApi: "/openapi.json",
} as const;
