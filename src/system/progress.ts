/** What a long piece of work tells while it runs. Every call returns at once and never throws. */
export interface Progress {
  /** A piece of work begins. `total` is in `unit`s; left out when nobody knows it. */
  begin(work: Work): void;
  /** So many more units are done, since the last call for this id. */
  advance(id: string, units: number): void;
  /** It ended well. */
  end(id: string): void;
  /** It was found done already, or needs doing again; `why` is one sentence. */
  remark(work: Pick<Work, "id" | "label">, why: string): void;
  /** Something a person should read that belongs to no piece of work. Never a secret. */
  note(sentence: string): void;
}

export interface Work {
  /** Stable across versions, for scripts: "export/database". */
  readonly id: string;
  /** For people: "database". */
  readonly label: string;
  readonly unit: "bytes" | "files" | "rows" | "notices";
  readonly total?: number;
}

/** Says nothing. For tests, and for work that is not worth a word. */
export const silent: Progress = {
  begin() {},
  advance() {},
  end() {},
  remark() {},
  note() {},
};
