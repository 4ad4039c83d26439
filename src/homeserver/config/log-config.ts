import { basename, extname, join } from "node:path";
import { findSettings, isMapping, stepsOf } from "../settings.ts";
import { diffLines } from "./host-changes.ts";
import { editYaml } from "./yaml/edit.ts";
import { parseYaml, YamlSyntaxError } from "./yaml/yaml.ts";

/**
 * Moves the files of a log configuration (Python's `logging.config.dictConfig`) to another folder, as the old one may not
 * exist on the new host. A text that is not a YAML mapping is not changed: Synapse reports the error itself.
 */
export function moveLogs(text: string, folder: string, path: string): { text: string; changes: string[] } {
  const settings = readable(text);
  const taken = new Set<string>();
  const moves = findSettings(settings, "handlers.*.filename").flatMap(({ setting, value }) => {
    if (typeof value !== "string") return [];
    const moved = join(folder, untaken(basename(value), taken));
    return moved === value ? [] : [{ setting, value: moved, old: value }];
  });
  if (moves.length === 0) return { text, changes: [] };
  // A handler's name may hold a dot, so the steps are not taken from its written form.
  const edits = moves.map(({ setting, value }) => ({ steps: stepsOfHandler(setting), value }));
  return {
    text: editYaml(text, edits, path),
    changes: moves.flatMap(({ setting, value, old }) => diffLines(setting, old, value)),
  };
}

/** The files that a log configuration writes: Python opens each of them when Synapse starts, also those of handlers that nothing uses. */
export const logFilesIn = (text: string): string[] =>
  findSettings(readable(text), "handlers.*.filename").flatMap(({ value }) =>
    typeof value === "string" && value !== "" ? [value] : [],
  );

function readable(text: string): Record<string, unknown> {
  try {
    const value = parseYaml(text);
    return isMapping(value) ? value : {};
  } catch (error) {
    if (error instanceof YamlSyntaxError) return {};
    throw error;
  }
}

function stepsOfHandler(setting: string): (string | number)[] {
  const found = /^handlers\.(.*)\.filename$/.exec(setting);
  return found ? ["handlers", found[1]!, "filename"] : stepsOf(setting);
}

function untaken(name: string, taken: Set<string>): string {
  const end = extname(name);
  let free = name;
  for (let number = 2; taken.has(free); number++)
    free = `${name.slice(0, name.length - end.length)}-${number}${end}`;
  taken.add(free);
  return free;
}
