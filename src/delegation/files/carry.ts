import type { Finding } from "../../report/finding.ts";
import { asObject } from "../well-known.ts";

/** A well-known file as it is now. */
export interface PresentFile {
  /** Below `/.well-known/`: "matrix/client". */
  readonly path: string;
  /** Undefined when there is none. */
  readonly text: string | undefined;
  /** Why it could not be read; undefined when it could, or is not there. */
  readonly problem?: string | undefined;
}

/** A well-known file as it will be. */
export interface CarriedFile {
  readonly path: string;
  readonly before: string | undefined;
  readonly after: string;
  /** It is a JSON object, so it can be a response in a configuration file. */
  readonly isJson: boolean;
}

export interface CarryOrder {
  readonly clientUrl: string;
  readonly federation: string;
  /** Host names that lead to the old host and are not used any more. */
  readonly leaving: readonly string[];
}

/**
 * The files of afterwards: `base_url` and `m.server` are replaced, everything else in them and all other files stay as they
 * are. A warning says what could not be carried over, and what still names the old host.
 */
export function carryFiles(
  present: readonly PresentFile[],
  order: CarryOrder,
): { readonly files: readonly CarriedFile[]; readonly findings: readonly Finding[] } {
  const findings: Finding[] = [];
  const files = present.flatMap((file): CarriedFile[] => {
    const change = CHANGES[file.path];
    if (file.problem !== undefined) findings.push(unread(file.path, file.problem));
    if (!change) return file.text === undefined ? [] : [unchanged(file.path, file.text)];
    const before = file.text === undefined ? undefined : parse(file.text);
    if (file.text !== undefined && before === undefined)
      findings.push(unread(file.path, "it contains no JSON object"));
    if (before && countKeys(file.text!) !== countKeys(JSON.stringify(before)))
      findings.push({
        id: "well-known-key-twice",
        level: "warning",
        sentence: `a key is twice in /.well-known/${file.path}, so only the last one is carried over`,
        hint: "write it once, then run this again",
      });
    const after = `${JSON.stringify(change(before ?? {}, order), undefined, 2)}\n`;
    return [{ path: file.path, before: file.text, after, isJson: true }];
  });
  return { files, findings: [...findings, ...leavingFindings(files, order.leaving)] };
}

type JsonObject = Readonly<Record<string, unknown>>;

const CHANGES: Readonly<Record<string, (before: JsonObject, order: CarryOrder) => JsonObject>> = {
  "matrix/client": (before, { clientUrl }) => ({
    ...before,
    "m.homeserver": { ...asObject(before["m.homeserver"]), base_url: clientUrl },
  }),
  "matrix/server": (before, { federation }) => ({ ...before, "m.server": federation }),
};

const unchanged = (path: string, text: string): CarriedFile => ({
  path,
  before: text,
  after: text,
  isJson: parse(text) !== undefined,
});

/** Numbers keep their digits: a double has only about 16 of them. */
function parse(text: string): JsonObject | undefined {
  try {
    return asObject(
      parseWithSource(text, (_key, value, { source }) =>
        typeof value === "number" && source !== undefined ? rawJson(source) : value,
      ),
    );
  } catch {
    return undefined;
  }
}

/** In Node since version 21; the types of TypeScript do not have these yet. */
const { parse: parseWithSource, rawJSON: rawJson } = JSON as unknown as {
  readonly parse: (
    text: string,
    revive: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ) => unknown;
  readonly rawJSON: (text: string) => unknown;
};

/** How many keys a JSON text has, those that are there twice included. */
const countKeys = (text: string) =>
  [...text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/g)].filter(([, colon]) => colon !== undefined).length;

const unread = (path: string, problem: string): Finding => ({
  id: `well-known-not-carried:${path}`,
  level: "warning",
  sentence: `/.well-known/${path} cannot be read as it is now, so what is in it is not carried over`,
  evidence: [problem],
  hint: "correct it first, or give the folder with the files: --from /var/www/html",
});

/** Calls, integrations and the like have addresses of their own, which may be on the old host too. */
function leavingFindings(files: readonly CarriedFile[], leaving: readonly string[]): Finding[] {
  const found = files.flatMap(({ path, after }) =>
    [...stringsIn(parse(after) ?? {}, "")].flatMap(([key, value]) => {
      const host = URL.parse(value)?.hostname ?? "";
      return leaving.includes(host) ? [`/.well-known/${path}: ${key}: ${value}`] : [];
    }),
  );
  const findings: Finding[] = [];
  if (found.length > 0)
    findings.push({
      id: "well-known-names-old-host",
      level: "warning",
      sentence: "a well-known file still names a host that will not be used any more",
      evidence: found,
      hint: "if that service moves too, change its address in the files below after/",
    });
  if (files.some(({ after }) => parse(after)?.["org.matrix.msc3575.proxy"] !== undefined))
    findings.push({
      id: "sliding-sync-proxy",
      level: "note",
      sentence:
        "the file for clients names a sliding sync proxy (org.matrix.msc3575.proxy), which clients no longer use",
      hint: "it was carried over as it is; the key can be removed",
    });
  return findings;
}

function* stringsIn(value: unknown, path: string): Generator<readonly [string, string]> {
  if (typeof value === "string") yield [path, value];
  else if (typeof value === "object" && value !== null)
    for (const [key, inside] of Object.entries(value))
      yield* stringsIn(inside, path === "" ? key : `${path}.${key}`);
}
