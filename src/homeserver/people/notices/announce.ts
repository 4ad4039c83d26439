import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";
import { readText } from "./inputs.ts";
import { type MoveAnnouncement, textForEverybody, textForThoseAtRisk } from "./texts.ts";

export const FOR_EVERYBODY = "for-everybody.txt";
export const FOR_THOSE_AT_RISK = "for-those-at-risk.txt";

export interface Announced {
  /** The text for those at risk: as it was written now, or as somebody changed it before. */
  readonly atRisk: string;
  readonly paths: readonly string[];
  /** Those of them that were there already, with another text, and were kept. */
  readonly kept: readonly string[];
  readonly dryRun: boolean;
}

/**
 * Writes both texts into a folder, unless it is a dry run. An existing text may have been edited and is kept;
 * throws `bad-usage` when it does not contain the current time and outage. May be repeated.
 */
export async function announce(
  folder: string,
  occasion: MoveAnnouncement,
  dryRun: boolean,
  files: Files,
): Promise<Announced> {
  const texts = [
    { path: join(folder, FOR_EVERYBODY), text: textForEverybody(occasion) },
    { path: join(folder, FOR_THOSE_AT_RISK), text: textForThoseAtRisk(occasion) },
  ];
  const found = new Map<string, string>();
  for (const { path } of texts) {
    if ((await files.stat(path)) === undefined) continue;
    found.set(path, await readText(path, files));
    assertUpToDate(found.get(path)!, occasion, path);
  }
  if (!dryRun) {
    await files.makeFolder(folder);
    for (const { path, text } of texts) if (!found.has(path)) await files.writeAtomically(path, text);
  }
  const [, { path, text }] = texts as [unknown, (typeof texts)[number]];
  return {
    dryRun,
    atRisk: found.get(path) ?? text,
    paths: texts.map((one) => one.path),
    kept: texts.filter((one) => (found.get(one.path) ?? one.text) !== one.text).map((one) => one.path),
  };
}

/** Throws `bad-usage` when an existing text announces an old time. */
function assertUpToDate(text: string, { when, outage }: MoveAnnouncement, path: string): void {
  const missing = [when, outage].find((part) => part !== undefined && !text.includes(part));
  if (missing === undefined) return;
  throw new MigrationError("bad-usage", `${path} already exists and does not contain "${missing}"`, {
    hint: "correct it, or remove it so that it is written again",
  });
}
