import { isDeepStrictEqual } from "node:util";
import type { Finding } from "../../../report/finding.ts";
import type { Homeserver } from "../../homeserver.ts";
import { isMapping } from "../../settings.ts";
import { parseYaml } from "../yaml/yaml.ts";

/** A later file replaces a whole top-level setting, which is rarely what its author meant. */
export function overriddenFindings({ configFiles, settings }: Homeserver): Finding[] {
  const findings: Finding[] = [];
  const keys = new Set(configFiles.flatMap((file) => file.keys));
  for (const key of keys) {
    const givers = configFiles.filter((file) => file.keys.includes(key));
    if (givers.length < 2) continue;
    const values = givers.map(({ text }) => (parseYaml(text) as Record<string, unknown>)[key]);
    const lost = values.slice(0, -1).flatMap((value) => lostKeys(value, settings[key]));
    if (key === "password_config" && lost.includes("pepper"))
      findings.push(lostPepper(givers.map(({ path }) => path)));
    if (values.every((value) => isDeepStrictEqual(value, values[0]))) continue;
    findings.push({
      id: `config-overridden:${key}`,
      level: lost.length > 0 ? "warning" : "note",
      sentence: `${key} is set in ${givers.length} files, and only the last one takes effect: ${givers.at(-1)!.path}`,
      evidence: [
        ...givers.map(({ path }) => path),
        ...[...new Set(lost)].map((name) => `${key}.${name} is set in an earlier file and has no effect`),
      ],
      hint: "Synapse replaces whole top-level settings: put the parts into one file if all of them should take effect",
    });
  }
  return findings;
}

function lostKeys(earlier: unknown, merged: unknown): string[] {
  if (!isMapping(earlier)) return [];
  return Object.keys(earlier).filter(
    (name) => earlier[name] !== null && !(isMapping(merged) && name in merged),
  );
}

const lostPepper = (evidence: string[]): Finding => ({
  id: "pepper-overridden",
  level: "blocker",
  sentence:
    "password_config.pepper is in a file whose password_config another file replaces, so no pepper is in effect",
  evidence,
  hint: "find out with which pepper the passwords were hashed, and keep password_config in one file only",
});
