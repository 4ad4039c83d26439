import { dirname, resolve } from "node:path";
import { MigrationError, tryRead } from "../../errors.ts";
import { SECRET_FILE_SETTINGS, valuesToHide } from "../../homeserver/config/secrets.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { type ConfigSource, readHomeserver } from "../../homeserver/read.ts";
import { findSettings } from "../../homeserver/settings.ts";
import { onThisHost } from "../../homeserver/path-map.ts";
import { chooseSource, type GivenSource } from "../../homeserver/service/find/choose.ts";
import { findLaunches } from "../../homeserver/service/find/find.ts";
import type { Finding } from "../../report/finding.ts";
import { findingJson } from "../../report/json.ts";
import { type EverythingRedactor, redactEverything } from "../../report/redact-everything.ts";
import type { System } from "../../system/system.ts";
import { PROGRAM } from "../../system/version.ts";
import { assertParentFolder } from "../disk-space.ts";
import { statusFindings } from "../old-server/status-text.ts";
import { COMMON_PATHS } from "../plan/redact.ts";
import { findStanding, type Standing } from "../standing/run.ts";
import { describeStanding, standingLines } from "../standing/text.ts";
import { knownValues, namesIn } from "./known-values.ts";
import { fileSection, recordSections, type Section, unitSections, versionsSection } from "./material.ts";

/** What is to be put into a report for others. Paths are absolute. */
export interface ReportOrder {
  /** Folder of the bundle. */
  readonly out: string;
  readonly configFolder: string;
  /** Where the configuration is, as far as it was given. */
  readonly given: GivenSource;
  /** Looks at the homeserver as `plan` does; undefined to leave that out. */
  readonly look:
    (() => Promise<{ readonly findings: readonly Finding[]; readonly verdict: string }>) | undefined;
  /** More text files, such as the output of a command that was kept. */
  readonly logs: readonly string[];
  /** Replace names as well; secrets are replaced in any case. */
  readonly redact: boolean;
  readonly file: string;
}

export interface ReportResult {
  readonly file: string;
  readonly bytes: number;
  /** Titles, redacted as the text is. */
  readonly sections: readonly string[];
  readonly redacted: boolean;
  /** Secrets that were met and replaced. */
  readonly secrets: number;
}

/**
 * Writes one text file about a move for those who are asked for help: versions, where this host stands, findings, records and
 * logs. No secret is in it, and no name with `redact`. Changes nothing else. Throws `target-not-empty` when the file exists,
 * `file-missing` for a log that does not.
 */
export async function writeSupportReport(order: ReportOrder, system: System): Promise<ReportResult> {
  const { files, machine } = system;
  await assertParentFolder(order.file, "--file", files);
  if (await files.lstat(order.file))
    throw new MigrationError("target-not-empty", `${order.file} exists already`, {
      hint: "choose another --file, or remove it",
    });
  const standing = await readStanding(order, system);
  const sections: Section[] = [
    await versionsSection([dirname(order.out), order.configFolder], system),
    standing.section,
    ...(order.look ? [await findingsSection(order.look)] : []),
    ...(await recordSections(order.out, order.configFolder, system)),
  ];
  sections.push(...(await unitSections(unitsIn(sections), system)));
  for (const path of order.logs) {
    const section = await fileSection(path, system);
    if (!section)
      throw new MigrationError("file-missing", `${path} does not exist, or is no file`, {
        hint: "give the path of a text file: --log",
      });
    sections.push(section);
  }
  const redactor = await redactorFor(order, standing.serverNames, sections, system);
  const shown = sections.map(({ title, text }) => ({ title: redactor(title), text: redactor(text) }));
  const content = reportText(shown, order.redact, redactor.secretsMet(), machine.now());
  if (redactor.findsIn(content))
    throw new Error("a value that was to be left out of the report is in it; nothing was written");
  await files.writeAtomically(order.file, content, 0o600);
  return {
    file: order.file,
    bytes: Buffer.byteLength(content),
    sections: shown.map(({ title }) => title),
    redacted: order.redact,
    secrets: redactor.secretsMet(),
  };
}

async function readStanding(
  { out, configFolder }: ReportOrder,
  system: System,
): Promise<{ section: Section; serverNames: string[] }> {
  const title = "where this host stands";
  try {
    const standing = await findStanding({ out, configFolder }, system);
    const { packed } = standing;
    const lines = [
      ...standingLines(describeStanding(standing, out)),
      ...(packed ? [`state: ${JSON.stringify(packed.state)}`] : []),
      ...findingLines(packed ? statusFindings(packed) : []),
    ];
    return { section: { title, text: `${lines.join("\n")}\n` }, serverNames: serverNamesOf(standing) };
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    return { section: { title, text: `${describeError(error)}\n` }, serverNames: [] };
  }
}

const serverNamesOf = ({ packed, restored }: Standing): string[] =>
  [packed?.subject, restored?.record.serverName].filter(
    (name) => name !== undefined && name !== "",
  ) as string[];

async function findingsSection(look: NonNullable<ReportOrder["look"]>): Promise<Section> {
  const title = "findings of plan, now";
  try {
    const { findings, verdict } = await look();
    return { title, text: `${[verdict, ...findingLines(findings)].join("\n")}\n` };
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    return { title, text: `no look was possible: ${describeError(error)}\n` };
  }
}

/** One a line: for people and for programs. */
const findingLines = (findings: readonly Finding[]) =>
  findings.map((finding) => JSON.stringify(findingJson(finding)));

const describeError = ({ code, message, hint }: MigrationError) =>
  `error ${code}: ${message}${hint === undefined ? "" : ` (hint: ${hint})`}`;

/** Units that the records name, and that of Debian's packages. */
function unitsIn(sections: readonly Section[]): string[] {
  const found = sections
    .filter(({ title }) => title.endsWith(".json"))
    .flatMap(({ text }) => [...text.matchAll(/[\w@:.\\-]+\.service\b/g)].map(([unit]) => unit));
  return [...new Set(["matrix-synapse.service", ...found])].slice(0, 20);
}

async function redactorFor(
  order: ReportOrder,
  serverNames: readonly string[],
  sections: readonly Section[],
  system: System,
): Promise<EverythingRedactor> {
  const { paths, homeserver } = await configurationOf(order.given, system);
  const keepPaths = [...COMMON_PATHS, ...MORE_PATHS];
  const known = await knownValues(
    {
      bundleFolder: order.out,
      configFolder: order.configFolder,
      configPaths: paths,
      serverNames: [...serverNames, ...(homeserver ? [homeserver.serverName] : [])],
      folders: [
        order.out,
        order.configFolder,
        ...order.given.configPaths,
        ...order.logs.map((path) => dirname(path)),
      ],
      commonFolders: keepPaths,
    },
    system,
  );
  const named = new Map(known.names.map((one) => [one.text.toLowerCase(), one]));
  for (const { text } of sections)
    for (const one of namesIn(text)) {
      const kind = one.placeholder.replace(/-\d+$/, "");
      const key = one.text.toLowerCase();
      if (!named.has(key)) named.set(key, { ...one, placeholder: `${kind}-${named.size + 1}` });
    }
  return redactEverything(
    {
      secrets: [...known.secrets, ...(homeserver ? valuesToHide(homeserver) : [])],
      names: [...named.values()],
    },
    { keepPaths, noHosts: NO_HOSTS, withNames: order.redact },
  );
}

/** The configuration that is given or found: its files, with all that name secrets, and what they say if they can be read. */
async function configurationOf(
  given: GivenSource,
  { files, ...rest }: System,
): Promise<{ paths: string[]; homeserver: Homeserver | undefined }> {
  let source: ConfigSource;
  try {
    ({ source } = await chooseSource(await findLaunches({ files, ...rest }), given, files));
  } catch (error) {
    if (error instanceof MigrationError) return { paths: [...given.configPaths], homeserver: undefined };
    throw error;
  }
  const { workingFolder, map = [], configPaths, masConfig = [] } = source;
  const placeOf = (path: string) => onThisHost(resolve(workingFolder, path), map);
  const homeserver = await tryRead(() => readHomeserver(source, files));
  const named: string[] = [];
  if (homeserver?.signingKey.kind === "file") named.push(homeserver.signingKey.path);
  for (const setting of homeserver ? SECRET_FILE_SETTINGS : [])
    for (const { value } of findSettings(homeserver!.settings, setting))
      if (typeof value === "string") named.push(placeOf(value));
  return { paths: [...configPaths.map(placeOf), ...masConfig, ...named], homeserver };
}

/** Folders of programs, in messages of theirs. */
const MORE_PATHS = (
  "python3 dist-packages site-packages synapse twisted psycopg2 node_modules synlift src app storage handlers .synlift " +
  "journal.json fence.json manifest.json progress.json sent.json fetched.json restored.json report.html port.log lock " +
  "postgresql synlift-move trial config matrix-authentication-service multi-user.target.wants"
).split(" ");

/** Modules of Python, namespaces of Matrix, schemas of PostgreSQL, settings. */
const NO_HOSTS = (
  "m org io im com net synapse twisted psycopg2 psycopg sqlalchemy asyncio node pg_catalog public information_schema " +
  "database listeners email server"
).split(" ");

function reportText(sections: readonly Section[], redacted: boolean, secrets: number, now: number): string {
  const head = [
    `A report for support, made by ${PROGRAM} on ${new Date(now).toISOString()}.`,
    "",
    "Read it before you send it: it is plain text, and may be changed and shortened.",
    redacted
      ? "Names of servers, hosts, people, folders and databases, and all addresses are replaced; the same name has the same stand-in everywhere."
      : "NAMES AND ADDRESSES ARE IN IT. Make it with --redact to have them replaced.",
    `Passwords, keys, tokens and passphrases are replaced (${secrets} met, as secret-1 and so on).`,
    "",
    "In it:",
    ...sections.map(({ title }, index) => `  ${index + 1}. ${title}`),
  ];
  const body = sections.flatMap(({ title, text }, index) => [
    "",
    `=== ${index + 1}. ${title} ===`,
    "",
    text.trimEnd(),
  ]);
  return `${[...head, ...body].join("\n")}\n`;
}
