/** How far a revision is, as the API says it: each object is the whole. */
import { z } from "zod";
import type { Progress, Stage } from "../../protocol/app-values.ts";
import type { AppConfig } from "../../runtime/apps.ts";
import { iso } from "./app-objects.ts";

const time = z.iso.datetime();
const facts = {
  status: z.enum(["pending", "skipped", "running", "succeeded", "timed_out", "cancelled", "errored"]),
  start: time.optional(),
  end: time.optional(),
};
const stage = z.object(facts);
const commandStage = z.object({ ...facts, command: z.string().nullable() });
const timelineStage = z.object({
  ...{ ...facts, slug: z.string(), partition: z.record(z.string(), z.string()), database: stage },
  ...{ predeploy: commandStage, warmup: stage, routing: stage },
});

export const progressObject = z.object({
  ...{ queued: stage, preparing: stage, installing: commandStage, building: commandStage },
  deploying: z.object({ ...facts, timelines: z.array(timelineStage) }),
});

export function toProgressObject(progress: Progress, config: AppConfig): z.output<typeof progressObject> {
  const predeploy = config.predeploy ?? null;
  return {
    queued: toStage(progress.queued),
    preparing: toStage(progress.preparing),
    installing: { ...toStage(progress.installing), command: config.install ?? null },
    building: { ...toStage(progress.building), command: config.build ?? null },
    deploying: {
      ...toStage(progress.deploying),
      timelines: progress.timelines.map((timeline) => ({
        ...toStage(whole([timeline.predeploy, timeline.warmup, timeline.routing])),
        ...{ slug: timeline.slug, partition: {}, database: { status: "skipped" as const } },
        predeploy: { ...toStage(timeline.predeploy), command: predeploy },
        warmup: toStage(timeline.warmup),
        routing: toStage(timeline.routing),
      })),
    },
  };
}

/** What the steps of a timeline are together. */
function whole(steps: readonly Stage[]): Stage {
  const begun = steps.filter((step) => "start" in step);
  const [first] = begun;
  const last = steps.at(-1);
  if (first === undefined) return last?.status === "skipped" ? { status: "skipped" } : { status: "pending" };
  const failed = begun.find(({ status }) => status !== "succeeded" && status !== "running");
  const ending = failed ?? (last?.status === "succeeded" ? last : undefined);
  if (ending === undefined || !("end" in ending)) return { status: "running", start: first.start };
  return { status: ending.status, start: first.start, end: ending.end };
}

function toStage(given: Stage): z.output<typeof stage> {
  return {
    status: given.status,
    ...("start" in given ? { start: iso(given.start) } : {}),
    ...("end" in given ? { end: iso(given.end) } : {}),
  };
}
