import { join } from "node:path";
import { pythonParts } from "../../homeserver/config/checks/modules.ts";
import { removedFindings, removedFromLogConfig } from "../../homeserver/config/checks/removed-settings.ts";
import type { FileRecord } from "../../homeserver/config/pack/packed-file.ts";
import { verifyDatabaseFile } from "../../homeserver/database/sqlite/verify-file.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { isNewerThanKnown, oldestFor, schemaOf } from "../../homeserver/synapse-versions.ts";
import type { Installed } from "../../homeserver/version/installed.ts";
import { assumeParts, verifyParts } from "../../homeserver/version/parts.ts";
import type { Finding } from "../../report/finding.ts";
import { formatMode } from "../../report/units.ts";
import type { System } from "../../system/system.ts";
import { accessOf, folderAccess } from "../folder-access.ts";
import type { RestoreRecord } from "../restore/record.ts";

export interface HostGateInput {
  readonly homeserver: Homeserver;
  readonly record: Pick<RestoreRecord, "fence" | "owner" | "placed" | "configPaths">;
  /** What the inventory says of the configuration's files. */
  readonly packed: readonly FileRecord[];
  readonly installed: Installed;
  /** The database's row of `schema_compat_version`. */
  readonly compatVersion: number;
}

/** The gates that depend on this host: whether this Synapse starts on the restored data, and can read its files. */
export async function hostGates(on: HostGateInput, system: System): Promise<Finding[]> {
  const { homeserver, installed } = on;
  const account = await accountOf(on, system);
  const { database } = homeserver;
  return [
    acceptsSchema(on),
    await importsParts(on, account.name, system),
    ...(await refusedSettings(homeserver, installed, system)),
    await fileOwners(on, account.uid, system),
    ...(database.kind === "sqlite" ? [await verifyDatabaseFile(database.path, account, system.files)] : []),
    ...(await folders(on, account, system)),
  ];
}

/** Of a container, the folders above what it is given are not its business. */
async function folders(
  { homeserver, installed, record }: HostGateInput,
  { uid, name }: { readonly uid: number | undefined; readonly name: string },
  system: System,
): Promise<Finding[]> {
  const { folder } = record.fence;
  if (uid === undefined || installed.inImage === true || homeserver.map.length > 0) return [];
  const known = system.machine.account(String(uid));
  const account = known ?? { name, uid, gid: record.owner?.gid ?? uid, home: "/" };
  const wanted = await accessOf(homeserver, { folder, configPaths: record.configPaths }, system);
  return folderAccess({ account, wanted, own: [folder, homeserver.mediaStore] }, "blocker", system);
}

/** `_setup_or_upgrade`, synapse/storage/prepare_database.py: a database's compat version above Synapse's own ends the start. */
function acceptsSchema({ installed: { version: found }, compatVersion }: HostGateInput): Finding {
  const id = "synapse-schema";
  const oldest = oldestFor(compatVersion) ?? "a version newer than this synlift knows";
  if (!found) {
    return {
      id,
      level: "note",
      sentence: `the Synapse version on this host is unknown; this database needs ${oldest} or newer`,
      hint: "give its Python environment: --synapse FOLDER",
    };
  }
  const { version, from } = found;
  const evidence = [
    `Synapse ${version.text}, known from ${from}`,
    `the database needs schema ${compatVersion} or higher`,
  ];
  const schema = schemaOf(version);
  // Versions older than the known ones had lower schema versions.
  if (isNewerThanKnown(version) || (schema && schema.version >= compatVersion))
    return {
      id,
      level: "ok",
      sentence: `Synapse ${version.text} on this host starts on this database`,
      evidence,
    };
  return {
    id,
    level: "blocker",
    sentence: `Synapse ${version.text} on this host is too old for this database and would not start`,
    evidence,
    hint: `install Synapse ${oldest} or newer, best the version that the old host had`,
  };
}

async function importsParts(
  { homeserver, installed: { python, launch, inImage = false } }: HostGateInput,
  account: string,
  { machine, programs, files }: System,
): Promise<Finding> {
  if (python === undefined) return assumeParts(pythonParts(homeserver), inImage);
  const { workingFolder } = homeserver;
  return verifyParts(
    {
      python,
      parts: pythonParts(homeserver),
      account: machine.isRoot ? machine.account(account) : undefined,
      folder: launch && (await files.stat(workingFolder))?.kind === "folder" ? workingFolder : "/",
    },
    programs,
  );
}

async function refusedSettings(
  homeserver: Homeserver,
  { version }: Installed,
  { files }: System,
): Promise<Finding[]> {
  if (!version) return [];
  const between = { target: version.version };
  const found = [
    ...removedFindings(homeserver, between),
    ...(await removedFromLogConfig(homeserver, files, between)),
  ];
  if (found.length > 0) return found;
  const sentence = `no setting prevents Synapse ${version.version.text} from starting, as far as known`;
  return [{ id: "config-settings", level: "ok", sentence }];
}

type OfAccount = Pick<HostGateInput, "record" | "installed">;

/** The account that Synapse will run as, and that must own the files. `uid` is undefined where it is not known. */
export async function accountOf(
  on: OfAccount,
  system: System,
): Promise<{ readonly uid: number | undefined; readonly name: string }> {
  const uid = await uidOf(on, system);
  return { uid, name: nameOf(on, uid) };
}

async function uidOf(
  { record, installed }: OfAccount,
  { files, machine }: System,
): Promise<number | undefined> {
  if (record.owner) return record.owner.uid;
  const account = installed.launch?.map.length === 0 ? installed.launch.account : undefined;
  if (account !== undefined && /^\d+$/.test(account)) return Number(account);
  if (account !== undefined) return machine.account(account)?.uid;
  return (await files.stat(record.fence.folder))?.uid;
}

const nameOf = ({ record, installed }: OfAccount, uid: number | undefined) =>
  record.owner?.name ?? installed.launch?.account ?? `user id ${uid ?? "?"}`;

/** Roles whose files other accounts may read: all others may hold a secret. */
const WORLD_READABLE_ROLES = new Set<FileRecord["role"]>(["templates", "log-config", "tls"]);

async function fileOwners(on: HostGateInput, uid: number | undefined, { files }: System): Promise<Finding> {
  const id = "file-owners";
  const { folder, names, suffix } = on.record.fence;
  const faults: string[] = [];
  const packed = new Map((on.record.placed ?? on.packed).map((record) => [record.name, record]));
  for (const { name, role } of packed.values()) {
    const plain = join(folder, name);
    const path = names.includes(name) && !(await files.lstat(plain)) ? plain + suffix : plain;
    const found = await files.lstat(path);
    const say = (what: string) => faults.push(`${path} ${what}`);
    if (found?.kind !== "file") say(found ? "is no longer a regular file" : "does not exist");
    else if (uid !== undefined && found.uid !== uid) say(`belongs to user id ${found.uid}`);
    else if (role === "signing-key" && (found.mode & 0o077) !== 0)
      say(`has mode ${formatMode(found.mode)}, readable by others, who must not read the key`);
    else if ((found.mode & 0o022) !== 0) say(`has mode ${formatMode(found.mode)}, writable by others`);
    else if ((found.mode & 0o007) !== 0 && !WORLD_READABLE_ROLES.has(role))
      say(`has mode ${formatMode(found.mode)}, readable by everyone`);
    else if ((found.mode & 0o400) === 0) say(`has mode ${formatMode(found.mode)}, not readable by its owner`);
  }
  const who = nameOf(on, uid);
  if (faults.length === 0)
    return {
      id,
      level: "ok",
      sentence: `${packed.size} files in ${folder} belong to ${who}, and no other account can read their secrets`,
    };
  return {
    id,
    level: "blocker",
    sentence: `${faults.length} of ${packed.size} files in ${folder} have the wrong owner or mode for ${who}`,
    evidence: faults.slice(0, SHOWN),
    hint: `make them readable by the account that runs Synapse only: chown, then chmod 600`,
  };
}

const SHOWN = 20;
