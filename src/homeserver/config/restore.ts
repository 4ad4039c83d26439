import { dirname, join } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import { makeOwnedFolder } from "../../system/files/owned-folder.ts";
import type { Listener, Settings } from "../homeserver.ts";
import { findSettings } from "../settings.ts";
import { checkExistingKey } from "../signing-key/restore.ts";
import type { Version } from "../synapse-versions.ts";
import { isIdle } from "./checks/referenced-files.ts";
import { removedFindings } from "./checks/removed-settings.ts";
import { findStrayFiles } from "./checks/stray-files.ts";
import type { Fence } from "./fence.ts";
import {
  type ConfigTarget,
  describeChange,
  editOf,
  hostChanges,
  isMediaRepoOff,
  NOT_REWRITTEN,
  type SettingChange,
} from "./host-changes.ts";
import { listenersOf } from "./listeners.ts";
import { moveLogs } from "./log-config.ts";
import type { FileRecord, PackedPaths } from "./pack/packed-file.ts";
import { parsePackedConfig } from "./pack/unpack.ts";
import { findWorkerNames } from "./worker-settings.ts";
import { editYaml } from "./yaml/edit.ts";
import { parseYaml } from "./yaml/yaml.ts";

export type { ConfigTarget } from "./host-changes.ts";

export interface PlannedFile {
  /** Absolute, with the suffix of the fence where it has one. */
  readonly path: string;
  readonly content: Uint8Array;
  readonly mode: number;
  readonly role: FileRecord["role"];
  /** Lines of a diff: `- key: old`, `+ key: new`. */
  readonly changes: readonly string[];
}

export interface ConfigPlan {
  readonly folder: string;
  readonly files: readonly PlannedFile[];
  readonly fence: Fence;
  /** What to give to Synapse with `-c`, in order, once the fence is lifted. */
  readonly configPaths: readonly string[];
  /** The configuration files one by one, by the names they have while the fence is set: for reading it before. */
  readonly fencedPaths: readonly string[];
  /** Folders that are given with `-c`: they must be there even if they are empty. */
  readonly folders: readonly string[];
  /** Every file by its name below the folder, and what it is for. */
  readonly placed: readonly Pick<FileRecord, "name" | "role">[];
  /** Where the main process will listen, as it sees it itself. */
  readonly listeners: readonly Listener[];
  /** Settings that still name a path of the old host, and settings that the new host's Synapse rejects. */
  readonly findings: readonly Finding[];
  readonly owner?: ConfigTarget["owner"];
}

/**
 * Plans the configuration of the new host: the same files with their comments, in which only the settings specific to
 * the host are rewritten, in the file whose value takes effect. Nothing is written yet.
 *
 * Throws `bundle-damaged` for an archive that synlift did not make or that names a path outside of the folder.
 */
export function planConfig({
  packed,
  target,
  synapse,
}: {
  packed: ReadonlyMap<string, Uint8Array>;
  target: ConfigTarget;
  /** The version that will run on it, where it is known. */
  synapse?: Version | undefined;
}): ConfigPlan {
  const { folder, owner } = target;
  const { paths, texts, keys, settings } = parsePackedConfig(packed);
  const changes = hostChanges(settings, paths.files, target);
  const fence = fenceOf(paths, target);
  const placed = (name: string) => join(folder, fence.names.includes(name) ? name + fence.suffix : name);

  const files = [...new Map(paths.files.map((record) => [record.name, record])).values()].map(
    (record): PlannedFile => {
      const { name, role } = record;
      const path = placed(name);
      const mode = role === "templates" || role === "log-config" ? 0o640 : 0o600;
      const content = packed.get(name)!;
      if (role === "log-config") {
        const moved = moveLogs(
          new TextDecoder().decode(content),
          target.logFolder ?? target.pathInContainer ?? folder,
          path,
        );
        return { path, role, mode, content: new TextEncoder().encode(moved.text), changes: moved.changes };
      }
      const mine =
        role === "config"
          ? changes.filter((change) => fileFor(change, keys, paths.configFiles) === name)
          : [];
      if (mine.length === 0) return { path, role, mode, content, changes: [] };
      const text = editYaml(texts.get(name)!, mine.map(editOf), path);
      return {
        path,
        role,
        mode,
        content: new TextEncoder().encode(text),
        changes: mine.flatMap((one) => describeChange(settings, one)),
      };
    },
  );
  return {
    folder,
    files,
    fence,
    configPaths: paths.order.map((name) => join(folder, name)),
    fencedPaths: paths.configFiles.map(placed),
    folders: paths.order.filter((name) => name.endsWith("/")).map((name) => join(folder, name)),
    placed: paths.files.map(({ name, role }) => ({ name, role })),
    listeners: listenersIn(paths.configFiles.map((name) => files.find(({ path }) => path === placed(name))!)),
    findings: [...remainingFindings(settings, paths, target), ...removedSettingWarnings(settings, synapse)],
    ...(owner ? { owner } : {}),
  };
}

/** As Synapse merges the files: a later one replaces whole top-level keys. What is wrong in them is told elsewhere. */
const listenersIn = (files: readonly PlannedFile[]): Listener[] =>
  listenersOf(
    Object.assign(
      {},
      ...files.map(({ content }) => parseYaml(new TextDecoder().decode(content))),
    ) as Settings,
    [],
  );

/** Throws `target-not-empty` when there is a file that is not part of the plan. Reads only. */
export async function assertNoConflicts(plan: ConfigPlan, files: Files): Promise<void> {
  await filesToWrite(plan, files);
  const [stray] = await findStrayFiles(plan, files);
  if (stray !== undefined) {
    throw new MigrationError(
      "target-not-empty",
      `Synapse would also read ${stray}, which changes the restored configuration`,
      {
        hint: "remove it: a package that was installed on the new host may have created it",
      },
    );
  }
}

/**
 * Writes the planned files. May be repeated: a file that exists with the same content is not written again.
 *
 * Throws `target-not-empty`, before the first byte is written, when anything else is in the way.
 */
export async function writeConfig(plan: ConfigPlan, files: Files): Promise<void> {
  for (const folder of plan.folders) await makeOwnedFolder(folder.replace(/\/$/, ""), plan.owner, files);
  for (const { path, content, mode } of await filesToWrite(plan, files)) {
    await makeOwnedFolder(dirname(path), plan.owner, files);
    await files.writeAtomically(path, content, mode);
    if (plan.owner) await files.setOwner(path, plan.owner.uid, plan.owner.gid);
  }
}

async function filesToWrite(plan: ConfigPlan, files: Files): Promise<PlannedFile[]> {
  for (const name of plan.fence.names) await assertNoUnfencedConfig(join(plan.folder, name), files);
  const todo: PlannedFile[] = [];
  for (const file of plan.files) if (!(await isInPlace(file, plan.folder, files))) todo.push(file);
  return todo;
}

/** The file whose value counts: the last that has the top-level key; for a new key, the first file of all. */
function fileFor(
  { setting }: SettingChange,
  keys: ReadonlyMap<string, readonly string[]>,
  order: readonly string[],
): string {
  const [key] = setting.split(/[.[]/);
  return order.findLast((name) => keys.get(name)?.includes(key!)) ?? order[0]!;
}

/** When the first `-c` is a file, it is enough to fence that: Synapse does not start without it. Of a folder, all files are fenced. */
function fenceOf({ order, configFiles }: PackedPaths, { folder, fencedSuffix: suffix }: ConfigTarget): Fence {
  const [first] = order;
  return { folder, suffix, names: first === undefined || first.endsWith("/") ? configFiles : [first] };
}

const WORKER_SERVICES = ["redis.host", "redis.port", "instance_map.*.host", "instance_map.*.port"];

function remainingFindings(
  settings: Settings,
  { missing }: PackedPaths,
  { listen, withoutWorkers, servesMedia }: ConfigTarget,
): Finding[] {
  const findings: Finding[] = [];
  const left = NOT_REWRITTEN.flatMap((pattern) => findSettings(settings, pattern));
  if (left.length > 0) {
    findings.push({
      id: "config-old-host-paths",
      level: "warning",
      sentence: "some settings still name paths of the old host",
      evidence: left.map(({ setting, value }) => `${setting}: ${String(value)}`),
      hint: "check that these are correct on the new host before you open it",
    });
  }
  // Also on loopback: the new host has to have them, too.
  const services = withoutWorkers
    ? []
    : WORKER_SERVICES.flatMap((pattern) => findSettings(settings, pattern));
  if (services.length > 0) {
    findings.push({
      id: "config-left-alone",
      level: "note",
      sentence: "some settings name services that workers need, and are left as they are",
      evidence: services.map(({ setting, value }) => `${setting}: ${String(value)}`),
      hint: "have them on the new host at these addresses, or change the settings there before you open it",
    });
  }
  const listensWithTls = findSettings(settings, "listeners[*].tls").some(({ value }) => value === true);
  const used = missing.filter((one) => !isIdle(one, listensWithTls));
  if (used.length > 0) {
    findings.push({
      id: "config-files-missing",
      level: "warning",
      sentence: "some files that the settings name did not exist on the old host and are not in the bundle",
      evidence: used.map(({ setting, path }) => `${setting}: ${path}`),
      hint: "create them, or remove the settings",
    });
  }
  const workers = withoutWorkers ? [] : findWorkerNames(settings);
  if (workers.length > 0) {
    findings.push({
      id: "workers-not-restored",
      level: "warning",
      sentence: `the settings assign work to workers, whose configuration files are not moved: ${workers.join(", ")}`,
      hint: "set them up on the new host too, with the same names, or let the main process do their work: --without-workers",
    });
  }
  if (isMediaRepoOff(settings) && servesMedia === undefined && !withoutWorkers) {
    findings.push({
      id: "media-external",
      level: "warning",
      sentence: "enable_media_repo is off: the restored Synapse does not serve the media in its store",
      hint: "if a worker or matrix-media-repo serves it on the new host too, nothing is to be done; if Synapse is to serve it, give matrix-media-repo's uploads with --media-archive, or set enable_media_repo to true before open",
    });
  }
  if (listen && hasNoClients(settings)) {
    findings.push({
      id: "config-no-client-listener",
      level: "warning",
      sentence: "no listener of type http has the client resource, so the new address was not set",
      hint: "set listeners by hand",
    });
  }
  return findings;
}

/** A restore starts no server: what keeps the server from starting is a warning here, and a gate of `open`. */
function removedSettingWarnings(settings: Settings, target: Version | undefined): Finding[] {
  return removedFindings({ settings }, { target }).map((finding) => ({ ...finding, level: "warning" }));
}

const hasNoClients = (settings: Settings) =>
  !findSettings(settings, "listeners[*].resources[*].names[*]").some(({ value }) => value === "client");

async function assertNoUnfencedConfig(path: string, files: Files): Promise<void> {
  if (!(await files.lstat(path))) return;
  throw new MigrationError("target-not-empty", `${path} already exists, without a fence`, {
    hint: "if a homeserver runs here, restore into another folder; otherwise remove the file",
  });
}

/** Whether the same file exists. Throws `target-not-empty` for any other file in its place, and for a link in its path. */
async function isInPlace(
  { path, content, role }: PlannedFile,
  folder: string,
  files: Files,
): Promise<boolean> {
  for (let above = dirname(path); above.startsWith(folder) && above !== folder; above = dirname(above)) {
    const kind = (await files.lstat(above))?.kind;
    if (kind !== undefined && kind !== "folder") throw pathOccupied(above);
  }
  if (role === "signing-key") return (await checkExistingKey(path, content, files)) === "same";
  const found = await files.lstat(path);
  if (!found) return false;
  if (found.kind !== "file" || !Buffer.from(content).equals(await files.readWhole(path)))
    throw pathOccupied(path);
  return true;
}

const pathOccupied = (path: string) =>
  new MigrationError("target-not-empty", `${path} already exists and differs from the file in the bundle`, {
    hint: "restore into an empty folder, or remove the file",
  });
