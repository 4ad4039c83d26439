import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { z } from "zod";
import { EVENTS_FILE, schemaFileOf, SCHEMAS } from "../../scripts/json-files.ts";

/** The schema of docs/json/ with this file name, as a program that reads our output has it. */
export function publishedSchema(file: string): z.ZodType {
  const known = read.get(file);
  if (known) return known;
  const path = new URL(`../../${SCHEMAS}/${file}`, import.meta.url);
  const schema = z.fromJSONSchema(
    JSON.parse(readFileSync(path, "utf8")) as Parameters<typeof z.fromJSONSchema>[0],
  );
  read.set(file, schema);
  return schema;
}
const read = new Map<string, z.ZodType>();

/** Every object of a run with `--json` is as its schema says, and there is a result or an error. */
export function assertJsonContract({
  code,
  stdout,
  stderr,
}: {
  code: number | null;
  stdout: string;
  stderr: string;
}): void {
  const results = objectsOf(stdout).filter(({ type }) => type === "result");
  for (const result of results) assertFits(result, schemaFileOf({ name: String(result["command"]) }));
  const events = objectsOf(stderr);
  for (const event of events) assertFits(event, EVENTS_FILE);
  const failed = events.some(({ type }) => type === "error");
  assert.ok(
    results.length + Number(failed) > 0 || stdout.startsWith("Usage:"),
    `no result and no error: ${stdout}${stderr}`,
  );
  if (code === 0) assert.equal(failed, false, stderr);
}

function assertFits(object: Record<string, unknown>, file: string): void {
  const { success, error } = publishedSchema(file).safeParse(object);
  assert.ok(
    success,
    `${SCHEMAS}/${file} promises something else (npm run docs makes it from the types): ${error?.message ?? ""}\n${JSON.stringify(object).slice(0, 2000)}`,
  );
}

const objectsOf = (text: string) =>
  text
    .split("\n")
    .filter((line) => line.startsWith('{"type":'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
