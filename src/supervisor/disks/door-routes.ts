/** The disks' part of the supervisor's socket (src/protocol/disk-calls.ts): parses what it is sent, answers in JSON. */
import type { IncomingMessage, ServerResponse } from "node:http";
import * as z from "zod/mini";
import {
  attachCall,
  DISK_SNAPSHOTS_TARGET,
  MAX_DISK_BODY_BYTES,
  resizeCall,
  snapshotCall,
  VOLUME_ID,
  VOLUMES_TARGET,
  type AttachedVolume,
  type ResizeCall,
  type SnapshotAnswer,
  type SnapshotCall,
  type VolumeAttachment,
} from "../../protocol/disk-calls.ts";
import { SbxError, toErrorRecord } from "../../runtime/errors.ts";
import { readBody, sendJson } from "../door-http.ts";

/** The disks of a sandbox, as its owner may look at them and change them. Failures are SbxErrors. */
export interface DiskControl {
  list(): AttachedVolume[];
  attach(volume: VolumeAttachment): Promise<AttachedVolume>;
  detach(id: string): Promise<AttachedVolume>;
  resize(id: string, call: ResizeCall): Promise<AttachedVolume>;
  snapshot(call: SnapshotCall): Promise<SnapshotAnswer>;
}

/** @throws ZodError, SbxError */
type Route = (disks: DiskControl, body: unknown, id: string) => unknown;

/** By method and path; `*` stands for the id of a volume. */
const ROUTES: Readonly<Record<string, Readonly<Record<string, Route>>>> = {
  [VOLUMES_TARGET]: {
    GET: (disks) => disks.list(),
    POST: (disks, body) => disks.attach(attachCall().parse(body)),
  },
  [`${VOLUMES_TARGET}/*`]: {
    DELETE: (disks, _body, id) => disks.detach(id),
    PATCH: (disks, body, id) => disks.resize(id, resizeCall().parse(body)),
  },
  [DISK_SNAPSHOTS_TARGET]: { POST: (disks, body) => disks.snapshot(snapshotCall().parse(body)) },
};

/**
 * Answers a request about disks; false for one about something else. Never throws.
 *
 * @param open the disks of the sandbox, which has to be running
 */
export async function answerDiskCall(
  request: IncomingMessage,
  response: ServerResponse,
  pathname: string,
  open: () => Promise<DiskControl>,
): Promise<boolean> {
  const found = findRoute(pathname);
  if (found === undefined) return false;
  const route = found.methods[request.method ?? ""];
  if (route === undefined) {
    const methods = Object.keys(found.methods).join(" and ");
    sendJson(response, 405, { code: "METHOD_NOT_ALLOWED", message: `${pathname} takes ${methods}` });
    return true;
  }
  try {
    const body = await readBody(request, MAX_DISK_BODY_BYTES);
    if (body === undefined) {
      sendJson(response, 413, {
        code: "BODY_TOO_LARGE",
        message: `a body has up to ${MAX_DISK_BODY_BYTES} bytes here`,
      });
      return true;
    }
    sendJson(response, 200, await route(await open(), body === "" ? undefined : parseJson(body), found.id));
  } catch (error) {
    sendJson(response, ...failure(error));
  }
  return true;
}

function findRoute(pathname: string): { methods: Readonly<Record<string, Route>>; id: string } | undefined {
  const own = Object.hasOwn(ROUTES, pathname) && !pathname.endsWith("*") ? ROUTES[pathname] : undefined;
  if (own !== undefined) return { methods: own, id: "" };
  const id = pathname.startsWith(`${VOLUMES_TARGET}/`) ? pathname.slice(VOLUMES_TARGET.length + 1) : "";
  const methods = ROUTES[`${VOLUMES_TARGET}/*`];
  return VOLUME_ID.test(id) && methods !== undefined ? { methods, id } : undefined;
}

/** @throws SbxError `usage` */
function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new SbxError("usage", "the body is not JSON");
  }
}

function failure(error: unknown): [status: number, body: object] {
  if (error instanceof z.core.$ZodError) {
    const [issue] = error.issues;
    const where = issue === undefined ? "" : `: ${issue.path.map(String).join(".")}: ${issue.message}`;
    return [400, { code: "usage", message: `the body is not what this call takes${where}` }];
  }
  const record = toErrorRecord(error);
  const status = record.code === "usage" ? 400 : record.code === "volume_not_found" ? 404 : 500;
  return [status, record];
}
