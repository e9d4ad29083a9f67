/** The stages of a revision: how each begins and ends. Pure. */
import type { Progress, Stage } from "../../../protocol/app-values.ts";

export type StageName = Exclude<keyof Progress, "timelines">;
export type TimelineStage = "predeploy" | "warmup" | "routing";
export type StageEnd = "succeeded" | "timed_out" | "cancelled" | "errored";

const STAGES: readonly StageName[] = ["queued", "preparing", "installing", "building", "deploying"];
const PENDING: Stage = { status: "pending" };

export function initialProgress(timelines: readonly string[], predeploy: boolean, now: number): Progress {
  const first: Stage = predeploy ? PENDING : { status: "skipped" };
  return {
    queued: { status: "running", start: now },
    ...{ preparing: PENDING, installing: PENDING, building: PENDING, deploying: PENDING },
    timelines: timelines.map((slug) => ({ slug, predeploy: first, warmup: PENDING, routing: PENDING })),
  };
}

export function beginStage(progress: Progress, name: StageName, now: number): Progress {
  return { ...progress, [name]: { status: "running", start: now } };
}

export function skipStage(progress: Progress, name: StageName): Progress {
  return { ...progress, [name]: { status: "skipped" } };
}

export function endStage(progress: Progress, name: StageName, end: StageEnd, now: number): Progress {
  return { ...progress, [name]: ended(progress[name], end, now) };
}

export function changeTimeline(
  progress: Progress,
  slug: string,
  stage: TimelineStage,
  change: "begin" | StageEnd,
  now: number,
): Progress {
  const timelines = progress.timelines.map((timeline) => {
    if (timeline.slug !== slug) return timeline;
    const next: Stage = change === "begin" ? { status: "running", start: now } : ended(timeline[stage], change, now);
    return { ...timeline, [stage]: next };
  });
  return { ...progress, timelines };
}

/** Of a revision that failed: what was running has ended so, what was to come is left out. */
export function failProgress(progress: Progress, end: StageEnd, now: number): Progress {
  const close = (stage: Stage): Stage => {
    if (stage.status === "pending") return { status: "skipped" };
    return stage.status === "running" ? ended(stage, end, now) : stage;
  };
  const stages = Object.fromEntries(STAGES.map((name) => [name, close(progress[name])])) as Record<StageName, Stage>;
  const timelines = progress.timelines.map(({ slug, predeploy, warmup, routing }) => ({
    ...{ slug, predeploy: close(predeploy), warmup: close(warmup), routing: close(routing) },
  }));
  return { ...stages, timelines };
}

function ended(stage: Stage, status: StageEnd, now: number): Stage {
  return { status, start: stage.status === "running" ? stage.start : now, end: now };
}
