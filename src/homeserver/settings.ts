import type { Settings } from "./homeserver.ts";

/** One setting by its full name, as messages write it: `oidc_providers[0].client_secret_path`. */
export interface FoundSetting {
  readonly setting: string;
  readonly value: unknown;
}

/** Every setting that has a value and that a pattern names; `[*]` stands for each entry of a list, `.*` of a mapping. */
export function findSettings(settings: Settings, pattern: string): FoundSetting[] {
  let found: FoundSetting[] = [{ setting: "", value: settings }];
  for (const step of pattern.match(/[^.[\]]+/g) ?? []) {
    found = found.flatMap(({ setting, value }) => stepInto(setting, value, step));
  }
  return found.filter(({ value }) => value !== undefined && value !== null);
}

/** The value of one setting; undefined where there is none. */
export function settingAt(settings: Settings, setting: string): unknown {
  return findSettings(settings, setting)[0]?.value;
}

/** A setting's name as the keys and positions that lead to it. */
export function stepsOf(setting: string): (string | number)[] {
  return [...setting.matchAll(/([^.[\]]+)|\[(\d+)\]/g)].map(([, key, position]) => key ?? Number(position));
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function stepInto(setting: string, value: unknown, step: string): FoundSetting[] {
  if (Array.isArray(value)) {
    const positions = step === "*" ? [...value.keys()] : /^\d+$/.test(step) ? [Number(step)] : [];
    return positions.map((position) => ({
      setting: `${setting}[${position}]`,
      value: value[position] as unknown,
    }));
  }
  if (!isMapping(value)) return [];
  const keys = step === "*" ? Object.keys(value) : Object.hasOwn(value, step) ? [step] : [];
  return keys.map((key) => ({ setting: setting === "" ? key : `${setting}.${key}`, value: value[key] }));
}
