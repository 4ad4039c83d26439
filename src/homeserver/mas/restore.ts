import { join } from "node:path";
import { urlHost } from "../../system/ip-address.ts";
import { type ConfigTarget, describeChange, editOf, type SettingChange } from "../config/host-changes.ts";
import { parsePackedConfig } from "../config/pack/unpack.ts";
import type { ConfigPlan, PlannedFile } from "../config/restore.ts";
import { editYaml } from "../config/yaml/edit.ts";
import { parseYaml } from "../config/yaml/yaml.ts";
import type { Settings } from "../homeserver.ts";
import { isMapping, settingAt } from "../settings.ts";
import { CONNECTION } from "./address.ts";
import { mergedSettings } from "./read.ts";

/** Below the folder of the homeserver's configuration. */
const FOLDER = "mas";

export interface MasPlan {
  readonly files: readonly PlannedFile[];
  /** Names of the fence, below the homeserver's folder. */
  readonly fenced: readonly string[];
  /** What mas-cli is to be given with `--config`, once the fence is lifted; and the same files until then. */
  readonly configPaths: readonly string[];
  readonly fencedPaths: readonly string[];
}

/**
 * Plans the service's configuration next to the homeserver's: the same files, with the addresses of its database and the
 * homeserver and the paths of its own files rewritten. Writes nothing. Throws `bundle-damaged`.
 */
export function planMas(
  packed: ReadonlyMap<string, Uint8Array>,
  database: Readonly<Record<string, string | number>>,
  { folder, fencedSuffix, listen }: Pick<ConfigTarget, "folder" | "fencedSuffix" | "listen">,
): MasPlan {
  const { paths, texts, keys } = parsePackedConfig(packed);
  const settings = [...texts.values()].reduce<Settings>(
    (all, text) => mergedSettings(all, parseYaml(text)),
    {},
  );
  const changes = [
    ...databaseChanges(settings, database),
    ...fileChanges(paths.files, join(folder, FOLDER)),
    ...(listen ? [{ setting: "matrix.endpoint", value: urlOf(listen) }] : []),
  ].filter(({ setting, value }) => settingAt(settings, setting) !== value);
  const order = paths.configFiles;
  const suffixed = (name: string) => (order.includes(name) ? `${name}${fencedSuffix}` : name);
  const files = [...new Map(paths.files.map((record) => [record.name, record])).values()].map(
    ({ name, role }): PlannedFile => {
      const path = join(folder, FOLDER, suffixed(name));
      const mine = changes.filter((change) =>
        change.value === undefined ? hasBlock(name, change, keys) : name === fileFor(change, keys, order),
      );
      if (mine.length === 0) return { path, role, mode: 0o600, content: packed.get(name)!, changes: [] };
      const text = editYaml(texts.get(name)!, mine.map(editOf), path);
      const content = new TextEncoder().encode(text);
      return {
        path,
        role,
        mode: 0o600,
        content,
        changes: mine.flatMap((one) => describeChange(settings, one)),
      };
    },
  );
  return {
    files,
    fenced: order.map((name) => join(FOLDER, name)),
    configPaths: order.map((name) => join(folder, FOLDER, name)),
    fencedPaths: order.map((name) => join(folder, FOLDER, suffixed(name))),
  };
}

/** Both as one: written together, and fenced together. */
export const withMas = (plan: ConfigPlan, mas: MasPlan): ConfigPlan => ({
  ...plan,
  files: [...plan.files, ...mas.files],
  fence: { ...plan.fence, names: [...plan.fence.names, ...mas.fenced] },
});

function databaseChanges(
  settings: Settings,
  database: Readonly<Record<string, string | number>>,
): SettingChange[] {
  const block = settings["database"];
  const gone = CONNECTION.filter((name) => isMapping(block) && name in block && !(name in database));
  return [
    ...gone.map((name) => ({ setting: `database.${name}`, value: undefined })),
    ...Object.entries(database).map(([name, value]) => ({ setting: `database.${name}`, value })),
  ];
}

function fileChanges(
  files: readonly { readonly name: string; readonly setting: string; readonly role: string }[],
  folder: string,
): SettingChange[] {
  const places = new Map<string, string>();
  for (const { name, setting, role } of files) {
    if (role === "config") continue;
    places.set(setting, join(folder, role === "templates" ? name.split("/").slice(0, 2).join("/") : name));
  }
  return [...places].map(([setting, value]) => ({ setting, value }));
}

/** A removed setting must be removed from every file: otherwise an earlier file would apply again. */
const hasBlock = (name: string, { setting }: SettingChange, keys: ReadonlyMap<string, readonly string[]>) =>
  keys.get(name)?.includes(setting.split(/[.[]/)[0]!) === true;

/** Mappings are merged key by key: the last file wins, and a new setting is added where its block is. */
const fileFor = (
  { setting }: SettingChange,
  keys: ReadonlyMap<string, readonly string[]>,
  order: readonly string[],
) => order.findLast((name) => keys.get(name)?.includes(setting.split(/[.[]/)[0]!)) ?? order[0]!;

const urlOf = ({ address, port }: NonNullable<ConfigTarget["listen"]>) =>
  `http://${urlHost(address)}:${port}/`;
