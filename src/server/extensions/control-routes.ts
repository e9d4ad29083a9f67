/** The control calls as routes: their own schemas, the same tokens, limits, log and figures as all the others. */
import type { z } from "zod";
import { MAX_LONG_PARAMS_BYTES } from "../../protocol/control-call.ts";
import {
  aboutAnswer,
  ABOUT_PATH,
  CONTROL_CALLS,
  CONTROL_CALL_NAMES,
  controlPath,
} from "../../protocol/control-calls.ts";
import type { ControlCallName } from "../../protocol/control-calls.ts";
import { LINES_TYPE } from "../../protocol/control-lines.ts";
import { route, type Answer, type Call, type Route } from "../api/route.ts";
import { APP_HANDLERS } from "./app-handlers.ts";
import { DISK_HANDLERS } from "./disk-handlers.ts";
import { EDITOR_HANDLERS } from "./editor-handlers.ts";
import { defined, type ControlContext, type ControlHandler, type ControlHandlers } from "./handler.ts";
import { IMAGE_HANDLERS } from "./image-handlers.ts";
import { itemLines, progressLines } from "./line-answer.ts";
import { METERING_HANDLERS } from "./metering-handlers.ts";
import { NETWORK_HANDLERS } from "./network-handlers.ts";
import { SANDBOX_HANDLERS } from "./sandbox-handlers.ts";

const HANDLERS: ControlHandlers<ControlCallName> = {
  ...SANDBOX_HANDLERS,
  ...IMAGE_HANDLERS,
  ...EDITOR_HANDLERS,
  ...DISK_HANDLERS,
  ...NETWORK_HANDLERS,
  ...METERING_HANDLERS,
  ...APP_HANDLERS,
};

/** What there is beside the calls: more in the configuration of a new sandbox, SSH, and files on connections of their own. */
const FEATURES = ["create", "ssh", "volume.import", "snapshot.import"] as const;

const about = route({
  ...{ method: "GET", path: ABOUT_PATH, summary: "The server, and what the token's organisation may have" },
  scope: "read",
  success: { status: 200, schema: aboutAnswer() },
  errors: [],
  handle: async ({ tenant, caller, version }): Promise<Answer> => ({
    status: 200,
    body: {
      ...{ version, organisation: tenant.organisation, scopes: [...caller.scopes], limits: { ...tenant.quotas } },
      features: [...CONTROL_CALL_NAMES, ...FEATURES],
    } satisfies z.input<ReturnType<typeof aboutAnswer>>,
  }),
});

export const CONTROL_ROUTES: readonly Route[] = [about, ...CONTROL_CALL_NAMES.map(toRoute)];

function toRoute(name: ControlCallName): Route {
  const { scope, summary, params, result, answer, isLong } = CONTROL_CALLS[name];
  const isLines = answer !== "value";
  return route({
    ...{ method: "POST", path: controlPath(name), scope, body: params },
    summary: isLines ? `${summary} (in lines)` : summary,
    success: { status: 200, schema: result, ...(isLines ? { types: [LINES_TYPE] } : {}) },
    errors: ["NOT_FOUND", "SANDBOX_NOT_FOUND", "SANDBOX_NOT_RUNNING", "REFUSED", "UNSUPPORTED", "QUOTA_EXCEEDED"],
    ...(isLong ? { maxBodyBytes: () => MAX_LONG_PARAMS_BYTES } : {}),
    handle: async (call) => answerCall(name, call),
  });
}

async function answerCall(name: ControlCallName, call: Call<unknown, object>): Promise<Answer> {
  const { answer } = CONTROL_CALLS[name];
  // The table and the handlers are of one type; which row it is, is known only now.
  const handle = HANDLERS[name] as ControlHandler<ControlCallName>;
  const params = defined(call.body) as Parameters<typeof handle>[0];
  const { tenant, caller, signal, ending, environment, doors } = call;
  const context = (more: Partial<ControlContext>): ControlContext => ({
    ...{ tenant, tokenId: caller.tokenId, runtime: tenant.runtime, environment, doors, signal },
    onProgress: () => undefined,
    ...more,
  });
  if (answer === "value") return { status: 200, body: await handle(params, context({})) };
  const options = { ending, gone: signal, onFailure: call.onFailure, open: () => tenant.openStream() };
  const stream =
    answer === "progress"
      ? progressLines(async (onProgress) => handle(params, context({ signal: ending, onProgress })), options)
      : itemLines(handle(params, context({ signal: ending })) as AsyncIterable<unknown>, options);
  return { status: 200, stream, headers: { "content-type": LINES_TYPE } };
}
