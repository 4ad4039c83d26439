import type { Progress } from "../../src/system/progress.ts";

/** Remembers what it was told. */
export class Recorder implements Progress {
  readonly begun: string[] = [];
  readonly ended: string[] = [];
  /** "step: why". */
  readonly remarks: string[] = [];
  readonly notes: string[] = [];

  begin({ id }: { id: string }): void {
    this.begun.push(id);
  }
  advance(): void {
    // Counted by nobody here.
  }
  end(id: string): void {
    this.ended.push(id);
  }
  remark({ id }: { id: string }, why: string): void {
    this.remarks.push(`${id}: ${why}`);
  }
  note(sentence: string): void {
    this.notes.push(sentence);
  }
}
