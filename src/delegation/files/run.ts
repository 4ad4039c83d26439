import { dirname, join } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import type { Progress } from "../../system/progress.ts";
import { type Expected, expectedJson } from "../check/expected.ts";
import type { DelegationFacts } from "../facts.ts";
import { type DelegationContext, inspectDelegation, lookupContext } from "../inspect.ts";
import { parseServerName, type ServerName, serverNameHint } from "../server-name.ts";
import { timeLimitFinding, withTimeLimit } from "../time-limit.ts";
import { fetchWellKnown, jsonObject, KNOWN_FILES } from "../well-known.ts";
import { type Calendar, calendarOf, calendarText, dateText } from "./calendar.ts";
import { type CarriedFile, carryFiles, type PresentFile } from "./carry.ts";
import { wellKnownSnippets } from "./snippets.ts";
import { type ZoneChanges, zoneChanges, zoneText } from "./zone.ts";

export interface FilesOrder {
  readonly serverName: string;
  readonly clientUrl: string;
  readonly federation: string;
  /** Of the new host. */
  readonly addresses: readonly string[];
  /** When DNS and files are changed, in milliseconds since 1970; undefined for as early as is safe. */
  readonly when: number | undefined;
  /** The folder to write, absolute. */
  readonly out: string;
  /** A folder with a `.well-known` folder, absolute: its files count where they are not served. */
  readonly from: string | undefined;
  /** The web server that answers for Traefik. */
  readonly answersFrom: string;
  readonly privateHosts: readonly string[];
  readonly timeout: number;
  /** For all lookups and requests together, in milliseconds. */
  readonly timeLimit: number;
  readonly dryRun: boolean;
}

export interface FilesResult {
  readonly findings: readonly Finding[];
  readonly files: readonly CarriedFile[];
  readonly zone: ZoneChanges;
  readonly calendar: Calendar;
  /** Absolute paths; in a dry run of what would be written. */
  readonly written: readonly string[];
}

interface FilesContext extends DelegationContext {
  readonly files: Files;
}

/**
 * Writes everything that is needed to move the address: the well-known files of before and after, the same for web servers,
 * the changes to the zone, a calendar, and what `delegation check` is to expect. Never changes DNS or a web server. Throws
 * `bad-usage`, `file-failed`, `file-missing`.
 */
export async function prepareDelegation(
  order: FilesOrder,
  outside: FilesContext,
  progress: Progress,
): Promise<FilesResult> {
  const world = withTimeLimit(outside, order.timeLimit);
  const name = parseServerName(order.serverName);
  const federation = parseServerName(order.federation);
  if (!name || !federation)
    throw new MigrationError("bad-usage", `${order.serverName} is not a valid server name`, {
      hint: serverNameHint(order.serverName),
    });
  const clientHost = new URL(order.clientUrl).hostname.replace(/^\[(.*)\]$/, "$1");
  const hosts = [...new Set([clientHost, federation.host])];
  const question = {
    serverName: order.serverName,
    privateHosts: [...order.privateHosts, ...hosts],
    timeout: order.timeout,
    timeLimit: order.timeLimit,
  };
  const { facts } = await inspectDelegation(question, world, progress);
  const now = world.machine.now();
  const present = await presentFiles(name, order, world);
  const leaving = [facts.client?.host, ...(facts.federation?.targets ?? []).map(({ host }) => host)].filter(
    (host) => host !== undefined && !hosts.includes(host) && host !== name.host,
  ) as string[];
  const carried = carryFiles(present, {
    clientUrl: order.clientUrl,
    federation: order.federation,
    leaving,
  });
  const records = await withRecords(facts, hosts, question, world);
  const zone = zoneChanges(
    { records, serverName: order.serverName },
    {
      hosts,
      addresses: order.addresses,
      federation: { host: federation.host, port: federation.port ?? 8448 },
    },
  );
  const calendar = calendarOf(facts, order.when);
  const findings = [
    ...carried.findings,
    ...zoneFindings(zone, facts, name),
    ...calendarFindings(calendar, now),
    ...nameFindings(name),
    ...(world.cut() ? [timeLimitFinding(order.timeLimit)] : []),
  ];
  const expected = expectedAfter(order, facts, carried.files, calendar);
  const texts = textsOf({ order, name, files: carried.files, zone, calendar, expected, now });
  const kept = order.dryRun ? [] : await writeAll(order.out, texts, world.files);
  if (kept.length > 0)
    findings.push({
      id: "before-kept",
      level: "note",
      sentence: "files of an earlier run below before/ were kept, because they are needed to go back",
      evidence: kept,
    });
  return {
    findings,
    files: carried.files,
    zone,
    calendar,
    written: texts.map(({ path }) => join(order.out, path)),
  };
}

/** Every well-known file as it is served; else as it is in the folder. */
async function presentFiles(
  name: ServerName,
  order: FilesOrder,
  world: FilesContext,
): Promise<PresentFile[]> {
  const asking = lookupContext(
    { serverName: order.serverName, privateHosts: order.privateHosts, timeout: order.timeout },
    world,
  );
  const inFolder =
    order.from === undefined ? new Map<string, string>() : await folderFiles(order.from, world);
  const paths = [...new Set([...KNOWN_FILES, ...inFolder.keys()])];
  return Promise.all(
    paths.map(async (path): Promise<PresentFile> => {
      const { fact, answer } = await fetchWellKnown(path, name, asking);
      const local = inFolder.get(path);
      if (answer) return { path, text: new TextDecoder().decode(answer.body) };
      if (local !== undefined || fact.state === "absent") return { path, text: local };
      // Only the two files are always there; that another one is not served by a silent host says nothing.
      const matters = fact.state === "broken" || path === "matrix/client" || path === "matrix/server";
      return { path, text: undefined, problem: matters ? (fact.problem ?? fact.state) : undefined };
    }),
  );
}

/** Bytes; a well-known file of more is refused by Synapse. */
const LARGEST = 50 * 1024;

async function folderFiles(from: string, { files, signal }: FilesContext): Promise<Map<string, string>> {
  const root = join(from, ".well-known");
  const found = new Map<string, string>();
  for (const folder of ["matrix", "element"]) {
    if (!(await files.stat(join(root, folder)))) continue;
    for (const entry of await files.list(join(root, folder))) {
      signal.throwIfAborted();
      const path = join(root, folder, entry);
      const stat = await files.stat(path);
      if (stat?.kind !== "file") continue;
      found.set(`${folder}/${entry}`, new TextDecoder().decode(await files.readWhole(path, LARGEST)));
    }
  }
  if (found.size > 0) return found;
  throw new MigrationError("file-missing", `there are no well-known files below ${root}`, {
    hint: "give the folder that the web server serves, such as /var/www/html",
  });
}

/** The records of the names that will be used, which may be other names than those of now. */
async function withRecords(
  facts: DelegationFacts,
  hosts: readonly string[],
  question: { serverName: string; privateHosts: readonly string[]; timeout: number },
  world: DelegationContext,
): Promise<DelegationFacts["records"]> {
  const { lookups } = lookupContext(question, world);
  for (const host of hosts) await lookups.addressesOf(host);
  const more = await lookups.records(new Set());
  const key = ({ name, type, value }: DelegationFacts["records"][number]) => `${name} ${type} ${value}`;
  return [...new Map([...more, ...facts.records].map((record) => [key(record), record])).values()];
}

function zoneFindings(
  { without, remove }: ZoneChanges,
  { negative }: DelegationFacts,
  name: ServerName,
): Finding[] {
  const findings: Finding[] = [];
  if (without.length > 0)
    findings.push({
      id: "new-host-without-address",
      level: "warning",
      sentence: `a name that will be used has no address yet: ${without.join(", ")}`,
      evidence: negative.map(
        ({ zone, seconds }) => `${zone}: that a name does not exist is cached for ${seconds} s`,
      ),
      hint: "give the addresses of the new host with --address, or create the records before the change",
    });
  const ipv6 = remove.filter(({ type }) => type === "AAAA");
  if (ipv6.length > 0)
    findings.push({
      id: "aaaa-to-remove",
      level: "note",
      sentence: "an AAAA record leads to the old host and is to be removed",
      evidence: ipv6.map(({ name: host, value }) => `${host} AAAA ${value}`),
      hint: `if the new host has IPv6, give that address too: --address 2001:db8::7 (${name.text})`,
    });
  return findings;
}

function calendarFindings({ lowerBy, toLower, changeAt }: Calendar, now: number): Finding[] {
  if (lowerBy >= now - 60_000) return [];
  return [
    {
      id: "change-too-early",
      level: "warning",
      sentence: `at ${dateText(changeAt)} some will still use what they have cached`,
      evidence: toLower,
      hint: `lower them now and choose a later time, or keep the old host forwarding: without --when, the earliest safe time is taken`,
    },
  ];
}

function nameFindings({ text, port, family }: ServerName): Finding[] {
  if (port === undefined && family === 0) return [];
  return [
    {
      id: "server-file-unused",
      level: "warning",
      sentence: `other servers do not read a well-known file for ${text}, because it ${family === 0 ? "has a port" : "is an IP address"}`,
      hint: "only the address records can be changed: the new host must listen on that port",
    },
  ];
}

function expectedAfter(
  { clientUrl, federation, addresses }: FilesOrder,
  facts: DelegationFacts,
  files: readonly CarriedFile[],
  { keepUntil }: Calendar,
): Expected {
  const published = facts.federation?.published;
  const keys = (
    published?.serverName === facts.serverName ? Object.entries(published.verifyKeys) : []
  ).filter(([, key]) => Buffer.from(key, "base64").length === 32);
  return {
    clientUrl,
    federation,
    keys: keys.map(([id, key]) => ({ id, publicKey: key.replace(/=+$/, "") })),
    addresses,
    files: Object.fromEntries(
      files.flatMap(({ path, after, isJson }) => (isJson ? [[path, jsonObject(Buffer.from(after))]] : [])),
    ),
    caches: [{ what: "m.server, as other servers have cached it", until: keepUntil }],
  };
}

interface TextFile {
  /** Below the folder. */
  readonly path: string;
  readonly text: string;
}

function textsOf({
  order,
  name,
  files,
  zone,
  calendar,
  expected,
  now,
}: {
  readonly order: FilesOrder;
  readonly name: ServerName;
  readonly files: readonly CarriedFile[];
  readonly zone: ZoneChanges;
  readonly calendar: Calendar;
  readonly expected: Expected;
  readonly now: number;
}): TextFile[] {
  const { serverName, answersFrom } = order;
  const change = `at ${dateText(calendar.changeAt)}`;
  return [
    ...files.flatMap(({ path, before, after }) => [
      ...(before === undefined ? [] : [{ path: `before/.well-known/${path}`, text: before }]),
      { path: `after/.well-known/${path}`, text: after },
    ]),
    ...(name.family === 0 ? wellKnownSnippets(files, { host: name.host, answersFrom }) : []).map(
      ({ name: path, text }) => ({ path, text: text.replaceAll("SERVER_NAME", name.host) }),
    ),
    {
      path: "dns-lower.zone",
      text: zoneText(`${serverName}: the records of now with a low TTL, as early as possible`, zone.lower),
    },
    { path: "dns-remove.zone", text: zoneText(`${serverName}: records to remove ${change}`, zone.remove) },
    { path: "dns-add.zone", text: zoneText(`${serverName}: records to add ${change}`, zone.add) },
    { path: "calendar.txt", text: calendarText(calendar, now) },
    { path: "expected.json", text: expectedJson(serverName, expected) },
  ];
}

/** Folders that exist are left as they are. */
async function makePublicFolder(folder: string, files: Files): Promise<void> {
  const first = await files.makeFolder(folder);
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made)) await files.setMode(made, 0o755);
}

/** Nothing in them is secret, and web servers must read some of them. Returns what was kept of an earlier run. */
async function writeAll(out: string, texts: readonly TextFile[], files: Files): Promise<string[]> {
  const kept: string[] = [];
  for (const { path, text } of texts) {
    const full = join(out, path);
    await makePublicFolder(dirname(full), files);
    // Before the change these are the only copy of what was there; after it, others would be written.
    if (path.startsWith("before/") && (await files.lstat(full))) {
      if ((await files.readText(full)) !== text) kept.push(full);
      continue;
    }
    await files.writeAtomically(full, text, 0o644);
  }
  return kept;
}
