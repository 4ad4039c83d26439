import type { Files } from "../../system/files/files.ts";

/** A line of Python's logging, as Synapse's scripts set it up. */
const LOGGED = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - \S+ - \d+ - (?:DEBUG|INFO|WARNING|ERROR|CRITICAL) - /;
/** "events: 40% (400/1000)", as the script prints it. */
const PROGRESS = /^(\w+): \d+% \((\d+)\/(\d+)\)$/;
/** "Copying to postgres...". */
const STATE = /^([A-Z][\w ]{3,60})\.\.\.$/;
const FRAME = /^ {2}File "[^"]{1,300}", line \d+, in \S+$/;
/** The last line of a traceback: the kind of the error. What follows may quote a row. */
const RAISED =
  /^([A-Za-z_][\w.]*(?:Error|Exception|Violation|Setup|Failure|Shutdown|Canceled|Undefined\w*|Invalid\w*|Interrupt|Data|Full|\w+Text))(?::|$)/;
/** The script says these with the values of the row. */
const WITH_VALUES = /(DROPPING ROW: NUL value in table \S+ col \S+?): |(dropping search row) /;
/** Names in a message of PostgreSQL; its values are never in quotes after these words. */
const NAMES = /\b(?:table|constraint|relation|column|sequence) "(\w{1,80})"/g;

export type Said =
  | { readonly kind: "progress"; readonly table: string; readonly done: number; readonly total: number }
  | { readonly kind: "state"; readonly state: string }
  | { readonly kind: "raised"; readonly error: string; readonly names: readonly string[] }
  | { readonly kind: "other" };

/** What a line of the script says. */
export function parseLine(line: string): Said {
  const progress = PROGRESS.exec(line);
  if (progress)
    return {
      kind: "progress",
      table: progress[1]!,
      done: Number(progress[2]),
      total: Number(progress[3]),
    };
  const state = STATE.exec(line)?.[1];
  if (state !== undefined) return { kind: "state", state };
  const error = LOGGED.test(line) ? undefined : RAISED.exec(line)?.[1];
  if (error === undefined) return { kind: "other" };
  return { kind: "raised", error, names: [...line.matchAll(NAMES)].map(([, name]) => name!) };
}

/**
 * The line without what may be of a row; undefined when nothing remains. Rows hold messages and access tokens, and both
 * the script and PostgreSQL quote them in what they say. So only lines whose form is known are kept.
 */
export function withoutValues(line: string): string | undefined {
  const said = parseLine(line);
  if (said.kind === "raised")
    return [said.error, ...said.names.map((name) => `"${name}"`)].join(" ").slice(0, 300);
  if (said.kind !== "other" || FRAME.test(line) || line === "Traceback (most recent call last):") return line;
  if (!LOGGED.test(line)) return undefined;
  const cut = WITH_VALUES.exec(line);
  return cut ? line.slice(0, cut.index + (cut[1] ?? cut[2])!.length) : line.slice(0, 500);
}

/** The log of a port: what the programs said, as far as it may be kept. */
export interface PortLog {
  readonly path: string;
  /** The last lines that it got. */
  readonly last: readonly string[];
  /** Of ours, such as a heading: kept as it is. */
  say(line: string): Promise<void>;
  /** Of a program. */
  add(lines: readonly string[]): Promise<void>;
  /** May be called twice. */
  close(): Promise<void>;
}

const LAST_LINES = 40;

/** Begins the log anew. It gets its name when it is closed; until then it is beside it, as an unfinished file. */
export async function beginLog(path: string, files: Files): Promise<PortLog> {
  const file = await files.begin(path, 0o600, { sync: false });
  const last: string[] = [];
  let closed = false;
  const write = async (lines: readonly string[]) => {
    if (lines.length === 0 || closed) return;
    last.push(...lines);
    last.splice(0, Math.max(0, last.length - LAST_LINES));
    await file.write(Buffer.from(lines.map((line) => `${line}\n`).join("")));
  };
  return {
    path,
    last,
    say: (line) => write([line]),
    add: (lines) => write(lines.flatMap((line) => withoutValues(line) ?? [])),
    async close() {
      if (closed) return;
      closed = true;
      await file.finish();
    },
  };
}
