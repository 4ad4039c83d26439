/** Receives the progress of long-running tasks. Every call returns at once and never throws. */
export interface Progress {
  /** A task begins. `total` is in `unit`s; left out when it is unknown. */
  begin(work: Task): void;
  /** The number of units completed since the last call for this id. */
  advance(id: string, units: number): void;
  /** The task completed successfully. */
  end(id: string): void;
  /** The task is already completed, or must run again; `why` is one sentence. */
  remark(work: Pick<Task, "id" | "label">, why: string): void;
  /** A message for the user that belongs to no task. Never a secret. */
  note(sentence: string): void;
}

export interface Task {
  /** Stable across versions, for scripts: "export/database". */
  readonly id: string;
  /** For messages: "database". */
  readonly label: string;
  readonly unit: "bytes" | "files" | "rows" | "notices";
  readonly total?: number;
}

/** Ignores all progress. For tests, and for short tasks. */
export const noProgress: Progress = {
  begin() {},
  advance() {},
  end() {},
  remark() {},
  note() {},
};
