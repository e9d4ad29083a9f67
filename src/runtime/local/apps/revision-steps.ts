/** Notes in the database how far a revision is. Every step is there before the next one begins. */
import type { BuildStep, FailureReason, Progress } from "../../../protocol/app-values.ts";
import type { AppContext } from "./app-context.ts";
import {
  beginStage,
  changeTimeline,
  endStage,
  failProgress,
  skipStage,
  type StageEnd,
  type TimelineStage,
} from "./progress.ts";

const ENDS: Readonly<Record<FailureReason, StageEnd>> = {
  error: "errored",
  cancelled: "cancelled",
  timed_out: "timed_out",
  skipped: "cancelled",
};

export class RevisionSteps {
  /** The one that is under way, for the log. */
  step: BuildStep = "preparing";
  readonly #context: AppContext;
  readonly #id: string;

  constructor(context: AppContext, id: string) {
    this.#context = context;
    this.#id = id;
  }

  /** It is no longer queued. */
  begin(): void {
    this.#change((progress, now) => endStage(progress, "queued", "succeeded", now), { status: "building" });
  }

  start(step: BuildStep): void {
    this.step = step;
    this.#change((progress, now) => beginStage(progress, step, now));
  }

  async run(step: BuildStep, work: () => Promise<void>): Promise<void> {
    this.start(step);
    await work();
    this.#change((progress, now) => endStage(progress, step, "succeeded", now));
  }

  /** A step of one timeline. */
  async runOf(timeline: string, stage: TimelineStage, work: () => Promise<void>): Promise<void> {
    this.#change((progress, now) => changeTimeline(progress, timeline, stage, "begin", now));
    await work();
    this.#change((progress, now) => changeTimeline(progress, timeline, stage, "succeeded", now));
  }

  skip(step: BuildStep): void {
    this.#change((progress) => skipStage(progress, step));
  }

  /** The switch of its timelines, which ends it. False if it was removed or given up meanwhile. */
  succeed(): boolean {
    const { revisions, now } = this.#context;
    const at = now();
    return revisions.succeed(this.#id, at, (progress) => switched(progress, at));
  }

  fail(reason: FailureReason, failure: string): void {
    const now = this.#context.now();
    const row = this.#context.revisions.get(this.#id);
    if (row === undefined) return;
    const progress = failProgress(row.document.progress, ENDS[reason], now);
    const document = { finishedAt: now, failureReason: reason, failure, progress };
    this.#context.revisions.change(this.#id, { status: "failed", document });
  }

  #change(next: (progress: Progress, now: number) => Progress, more: { status?: "building" } = {}): void {
    const row = this.#context.revisions.get(this.#id);
    if (row === undefined) return;
    const progress = next(row.document.progress, this.#context.now());
    this.#context.revisions.change(this.#id, { ...more, document: { progress } });
  }
}

function switched(progress: Progress, now: number): Progress {
  if (progress.timelines.length === 0) return progress;
  return progress.timelines.reduce(
    (all, { slug }) =>
      changeTimeline(changeTimeline(all, slug, "routing", "begin", now), slug, "routing", "succeeded", now),
    endStage(progress, "deploying", "succeeded", now),
  );
}
