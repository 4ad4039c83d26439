import type { Inventory } from "../../bundle/inventory.ts";
import { MigrationError } from "../../errors.ts";
import { verifyNoStray } from "../../homeserver/config/checks/stray-files.ts";
import { verifyConfig } from "../../homeserver/config/verify.ts";
import { connect, stateAddress } from "../../homeserver/database/address.ts";
import { verifyPortedDatabase } from "../../homeserver/database/port/gates.ts";
import type { TableRows } from "../../homeserver/database/port/verify.ts";
import type { DatabaseSection } from "../../homeserver/database/section.ts";
import { openDatabaseOf } from "../../homeserver/database/target.ts";
import { verifyDatabase, verifyLocale } from "../../homeserver/database/verify.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { masGates } from "../../homeserver/mas/verify.ts";
import { readComparison } from "../../homeserver/media/compare/compared-before.ts";
import { openHashed } from "../../homeserver/media/compare/hashed-before.ts";
import { verifyMediaOwners } from "../../homeserver/media/store/owners.ts";
import { compareToVerify, verifyMedia } from "../../homeserver/media/verify.ts";
import { verifySigningKey } from "../../homeserver/signing-key/verify.ts";
import type { Installed } from "../../homeserver/version/installed.ts";
import type { Finding } from "../../report/finding.ts";
import type { Progress } from "../../system/progress.ts";
import type { QuerySession } from "../../system/query.ts";
import type { System } from "../../system/system.ts";
import { comparedMediaPath, hashedMediaPath, type RestoreRecord } from "../restore/record.ts";
import { sectionsOf } from "../sections.ts";
import { accountOf, hostGates } from "./host-gates.ts";

export interface RestoredServer {
  readonly inventory: Inventory;
  /** Read from the restored configuration. */
  readonly homeserver: Homeserver;
  readonly record: RestoreRecord;
  /** The Synapse that will run here. */
  readonly installed: Installed;
}

/** Every gate, against what was counted at the source. Changes nothing. */
export async function runGates(
  { inventory, homeserver, record, installed }: RestoredServer,
  system: System,
  progress: Progress,
): Promise<Finding[]> {
  const { config, key, database, state, mas, media } = sectionsOf(inventory);
  const findings = [
    ...verifyConfig(config, homeserver, inventory.salt),
    ...(await verifySigningKey(key, homeserver, system.files)),
    await verifyNoStray(record, system.files),
    mediaStoreFinding(homeserver, record.mediaStore),
    ...(await hostGates(
      { homeserver, record, packed: config.files, installed, compatVersion: database.compatVersion },
      system,
    )),
  ];
  const session = await openDatabaseOf(homeserver, system);
  try {
    findings.push(...(await verifyLocale(session)));
    findings.push(
      ...(database.engine === "sqlite" && session.engine === "postgres"
        ? await verifyPortedDatabase(database, withAddedRows(record), session)
        : await verifyDatabase(withAdded(database, record), session)),
    );
    const id = "gate/media";
    progress.begin({ id, label: "compare media with the database", unit: "bytes", total: media.rowBytes });
    const tell = (bytes: number) => {
      progress.advance(id, bytes);
    };
    findings.push(...(await mediaGates({ inventory, homeserver, record, installed }, session, tell, system)));
    progress.end(id);
  } finally {
    await session.close();
  }
  if (state) findings.push(...(await stateGates(state, homeserver, system)));
  if (mas && record.mas) findings.push(...(await masGates(mas, homeserver.mas, inventory.salt, system)));
  return findings;
}

/** Of media, and of whom they belong to. */
async function mediaGates(
  { inventory, homeserver, record, installed }: RestoredServer,
  session: QuerySession,
  tell: (bytes: number) => void,
  system: System,
): Promise<Finding[]> {
  const { database, media } = sectionsOf(inventory);
  const { mediaStore: store } = homeserver;
  const { files, signal } = system;
  const { folder } = record.fence;
  // To look at every upload once more would make the outage longer that such a database makes short.
  const isShort = database.followed !== undefined;
  const before = isShort ? await readComparison(comparedMediaPath(folder), store, system) : undefined;
  const earlier = isShort ? await openHashed(hashedMediaPath(folder), store, files) : undefined;
  const found = await compareToVerify({ session, store, files, tell, earlier, before }).finally(() =>
    earlier?.close(),
  );
  const account = await accountOf({ record, installed }, system);
  const since =
    before && found.ids && account.uid !== undefined && before.uid === account.uid
      ? { at: before.at, ids: found.ids }
      : undefined;
  return [
    ...(await verifyMedia(media, found, { session, store, before, kept: database.kept })),
    await verifyMediaOwners(store, account, { files, signal, since }),
  ];
}

async function stateGates(
  section: DatabaseSection,
  homeserver: Homeserver,
  system: System,
): Promise<Finding[]> {
  const address = stateAddress(homeserver);
  if (!address) {
    return [
      {
        id: "state-database",
        level: "blocker",
        sentence: "the bundle has a separate database for state groups, but the configuration here has none",
        hint: "restore again with --state-database: without its state groups the server cannot use any room",
      },
    ];
  }
  const { session } = await connect(address, system, homeserver.mediaStore);
  try {
    return [...(await verifyLocale(session, "state")), ...(await verifyDatabase(section, session, "state"))];
  } finally {
    await session.close();
  }
}

/** What was counted at the source, plus the uploads that the restore added from other archives. */
function withAdded(section: DatabaseSection, { addedUploads = 0 }: RestoreRecord): DatabaseSection {
  if (addedUploads === 0) return section;
  const uploads = Object.entries({ ...section.rows, ...section.staying }).filter(([name]) =>
    name.endsWith(".local_media_repository"),
  );
  const more = uploads.map(([name, count]) => [name, count + addedUploads] as const);
  return { ...section, staying: { ...section.staying, ...Object.fromEntries<number>(more) } };
}

/** The same for a database that was ported; undefined when it was not. */
function withAddedRows({ ported, addedUploads = 0 }: RestoreRecord): TableRows | undefined {
  const table = "local_media_repository";
  return ported && { ...ported, [table]: (ported[table] ?? 0) + addedUploads };
}

/** Gates whose result changes when the server starts. */
const CHANGED_BY_A_START = new Set([
  "row-counts",
  "sequences",
  "stream-positions",
  "schema",
  "one-time-keys",
  "remote-media",
]);

/** A server that was started once after every gate had passed has written since: such differences become notes. */
export function acceptStartChanges(findings: readonly Finding[], { started }: RestoreRecord): Finding[] {
  return findings.map((finding) =>
    started !== null && finding.level === "blocker" && CHANGED_BY_A_START.has(finding.id)
      ? {
          ...finding,
          level: "note",
          sentence: `${finding.sentence}: every gate passed on ${started}, and the server was started then`,
        }
      : finding,
  );
}

/** Without these the new server is not the old one, or the old one runs as well: they cannot be accepted. */
const NEVER_ACCEPTED = new Set([
  ...["signing-key", "signing-key-published", "server-name", "row-counts", "state-database"],
  ...["mas-secret:secrets.encryption", "old-server"],
]);

/** Turns accepted blockers into notes. Throws `bad-usage` for one that cannot be accepted. */
export function acceptFindings(findings: readonly Finding[], accepted: readonly string[]): Finding[] {
  const never = accepted.find((id) => NEVER_ACCEPTED.has(id));
  if (never !== undefined) {
    throw new MigrationError("bad-usage", `--accept ${never}: this gate cannot be accepted`, {
      hint:
        never !== "old-server"
          ? "restore again; a server that fails it is not the old one"
          : "two servers with one name and one key must never run: the finding says what to do",
    });
  }
  return findings.map((finding) =>
    finding.level === "blocker" && accepted.includes(finding.id)
      ? { ...finding, level: "note", sentence: `${finding.sentence} (accepted)` }
      : finding,
  );
}

/** The error to report when a gate fails; undefined when all pass. */
export function gateFailure(findings: readonly Finding[]): MigrationError | undefined {
  const failed = findings.filter(({ level }) => level === "blocker").map(({ id }) => id);
  if (failed.length === 0) return undefined;
  return new MigrationError("gate-failed", `the new server stays fenced: ${failed.join(", ")}`, {
    hint: "the findings say how to fix each; the server cannot start until then",
  });
}

function mediaStoreFinding(homeserver: Homeserver, mediaStore: string): Finding {
  const id = "media-store";
  if (homeserver.mediaStore === mediaStore)
    return { id, level: "ok", sentence: `media_store_path is ${mediaStore}, where the media was restored` };
  return {
    id,
    level: "blocker",
    sentence: `media_store_path is ${homeserver.mediaStore}, but the media was restored to ${mediaStore}`,
    hint: "set media_store_path to where the media is: otherwise Synapse silently creates an empty store",
  };
}
