import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { workingPassphraseFileOf } from "../../bundle/export-keys.ts";
import { passphraseFileOf } from "../../bundle/passphrase.ts";
import { tryRead } from "../../errors.ts";
import { isSecretName } from "../../homeserver/config/secrets.ts";
import type { Redaction } from "../../report/placeholders.ts";
import { SYSTEM_FOLDERS } from "../../report/redact-text.ts";
import type { KnownValues } from "../../report/redact-everything.ts";
import type { System } from "../../system/system.ts";
import { recordFolder } from "../restore/record.ts";

/** Where values are looked for that must not be in a report: files of the configuration and of keys, absolute. */
export interface ValueSources {
  readonly bundleFolder: string;
  readonly configFolder: string;
  /** Files and folders of the configuration, as Synapse is given them. */
  readonly configPaths: readonly string[];
  readonly serverNames: readonly string[];
  /** Folders that this report is about: their own names are left out, but for these. */
  readonly folders: readonly string[];
  readonly commonFolders: readonly string[];
}

/** Reads what can be read of it; a file with faults gives what its lines say. */
export async function knownValues(sources: ValueSources, system: System): Promise<KnownValues> {
  const found = new Found();
  for (const name of sources.serverNames) found.host(name, "this-server");
  found.host(system.machine.hostname, "this-host");
  const keep = new Set([...sources.commonFolders, ...SYSTEM_FOLDERS]);
  for (const path of sources.folders) found.path(path, keep);
  await readAccounts(found, system);
  const { bundleFolder, configFolder, configPaths } = sources;
  for (const path of await configFiles([configFolder, ...configPaths], system)) {
    const text = await tryRead(() => system.files.readText(path));
    if (text === undefined) continue;
    if (/\.(?:key|pem|password|passphrase|token|secret)$/.test(path)) found.keyFile(text);
    else found.configuration(text);
  }
  for (const path of [
    passphraseFileOf(bundleFolder),
    workingPassphraseFileOf(bundleFolder),
    join(recordFolder(configFolder), "inventory.passphrase"),
  ]) {
    const text = await tryRead(() => system.files.readText(path));
    if (text !== undefined) found.keyFile(text);
  }
  return found.values();
}

/** Names of people and hosts that stand in a text as ids, mail addresses and addresses of web pages: also in it without these. */
export function namesIn(text: string): Redaction[] {
  const found = new Found();
  const plain = text.replace(/(?:%[0-9A-Fa-f]{2})+/g, (run) =>
    Buffer.from(run.replaceAll("%", ""), "hex").toString(),
  );
  for (const [, sign, name, host] of plain.matchAll(
    /([@#!])([^\s:"'`<>()[\]{},;@#\\]+):([\p{L}\p{N}.-]+)/gu,
  )) {
    // A server's name without a dot is one of a test, and anything may look like it.
    if (!host!.includes(".")) continue;
    if (sign === "@") found.person(name!);
    found.host(host!, "host");
  }
  for (const [, name, host] of plain.matchAll(/([\p{L}\p{N}._%+-]+)@((?:[\p{L}\p{N}-]+\.)+\p{L}{2,})/gu))
    if (!/\.(?:service|socket|timer|target|mount|slice)$/.test(host!)) {
      found.person(name!);
      found.host(host!, "host");
    }
  for (const [, host] of plain.matchAll(/\bhttps?:\/\/([\p{L}\p{N}.-]+)/gu)) found.host(host!, "host");
  for (const [address] of plain.matchAll(
    /(?<![\w.:])(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]{2,36})(?![\w.:])/g,
  ))
    found.address(address);
  for (const [, name] of plain.matchAll(/\/home\/([^\s/"']+)/g)) found.person(name!);
  return [...found.values().names];
}

class Found {
  readonly #secrets = new Set<string>();
  readonly #names = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  readonly #met = new Set<string>();

  secret(value: string): void {
    if (value.trim() !== "") this.#secrets.add(value.trim());
  }

  host(given: string, kind: string): void {
    const name = given.replace(/:\d+$/, "").replace(/\.+$/, "");
    if (/^[\d.]+$/.test(name) || name.length < 3 || EVERYBODYS.has(name.toLowerCase())) return;
    this.#add(name, kind);
  }

  /** Not those that every host has. */
  address(text: string): void {
    const isAddress = text.includes(":")
      ? URL.canParse(`http://[${text}]`)
      : URL.parse(`http://${text}`)?.hostname === text;
    if (isAddress && text.length > 3 && !/^(?:127\.|0\.0\.0\.0)/.test(text)) this.#add(text, "address");
  }

  /** The parts of a path that are not those of every host. */
  path(path: string, keep: ReadonlySet<string>): void {
    for (const part of path.split("/"))
      if (part.length > 3 && !keep.has(part) && !EVERYBODYS.has(part.toLowerCase()))
        this.#add(part, "folder");
  }

  person(name: string): void {
    if (name.length >= 3 && !EVERYBODYS.has(name.toLowerCase())) this.#add(name, "user");
  }

  /** Each line, and each word of it that is as long as a key. */
  keyFile(text: string): void {
    for (const line of text.split(/\r?\n/)) {
      this.secret(line);
      for (const word of line.split(/\s+/)) if (word.length >= 12) this.secret(word);
    }
  }

  configuration(text: string): void {
    for (const document of parseAllDocuments(text, { logLevel: "silent" }))
      this.#collect(document.toJS({ maxAliasCount: 100 }) as unknown, "");
    // A file with faults is read line by line, and that finds what is commented out, too.
    for (const line of text.split("\n")) {
      const [, name, value] = /^[\s#-]*["']?([A-Za-z0-9_]+)["']?\s*:\s*(\S.*)$/.exec(line) ?? [];
      if (name === undefined || value === undefined) continue;
      const plain = value.replace(/\s+#.*$/, "").replace(/^(["'])(.*)\1,?$/, "$2");
      this.#setting(name, plain);
    }
  }

  #collect(value: unknown, name: string): void {
    if (typeof value === "string" || typeof value === "number") this.#setting(name, String(value));
    else if (Array.isArray(value)) for (const one of value) this.#collect(one, name);
    else if (typeof value === "object" && value !== null)
      for (const [key, one] of Object.entries(value)) this.#collect(one, key);
  }

  #setting(name: string, value: string): void {
    const isPlain =
      /^(?:true|false|null|yes|no|\/\S*)$/i.test(value) || /time|duration|limit|size|length/.test(name);
    if (isSecretName(name) && !isPlain) this.secret(value);
    const [, user, password] = /^[a-z][a-z0-9+.-]*:\/\/([^\s:/@]*):([^\s/@]+)@/i.exec(value) ?? [];
    if (password !== undefined) {
      this.secret(password);
      this.secret(decodeURIComponentSafely(password));
    }
    if (user) this.person(user);
    if (
      /^(?:server_name|public_baseurl|host|hostaddr|smtp_host|url|domain|endpoint_url|issuer|bucket)$/.test(
        name,
      )
    ) {
      const host = /^(?:[a-z][a-z0-9+.-]*:\/\/)?(?:[^\s/@]*@)?([\p{L}\p{N}.-]+)/iu.exec(value)?.[1];
      if (host !== undefined) this.host(host, name === "server_name" ? "this-server" : "host");
    }
    if (/^(?:user|username|dbname|database|smtp_user|sender_localpart|localpart|admin_contact)$/.test(name))
      this.person(value.replace(/^mailto:/, ""));
    for (const { text } of value.includes("@") ? namesIn(value) : []) this.#add(text, "name");
  }

  #add(text: string, kind: string): void {
    if (this.#met.has(text.toLowerCase())) return;
    this.#met.add(text.toLowerCase());
    const number = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, number);
    this.#names.set(text, kind.startsWith("this-") && number === 1 ? kind : `${kind}-${number}`);
  }

  values(): { secrets: string[]; names: Redaction[] } {
    return {
      secrets: [...this.#secrets],
      names: [...this.#names].map(([text, placeholder]) => ({ text, placeholder, ignoreCase: true })),
    };
  }
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Files of these folders and one folder below, and the files themselves; nothing large. */
async function configFiles(paths: readonly string[], { files }: System): Promise<string[]> {
  const found = new Set<string>();
  const add = async (path: string, depth: number): Promise<void> => {
    const entry = await tryRead(() => files.stat(path));
    if (entry?.kind === "file" && entry.size <= LARGEST_CONFIGURATION) found.add(path);
    if (entry?.kind !== "folder" || depth === 0 || found.size > MOST_FILES) return;
    for (const name of (await tryRead(() => files.list(path))) ?? [])
      if (/\.(?:ya?ml|fenced|key|pem|password|passphrase|token|secret|conf)$/.test(name) || depth > 1)
        await add(join(path, name), depth - 1);
  };
  for (const path of paths) await add(path, 2);
  return [...found];
}

/** People's accounts of this host: their names are in paths and processes. */
async function readAccounts(found: Found, { files }: System): Promise<void> {
  const text = (await tryRead(() => files.readText("/etc/passwd"))) ?? "";
  for (const line of text.split("\n")) {
    const [name = "", , uid = ""] = line.split(":");
    if (Number(uid) >= 1000 && Number(uid) < 60_000) found.person(name);
  }
}

const LARGEST_CONFIGURATION = 1024 * 1024;
const MOST_FILES = 200;

/** Names that identify nobody. Replacing them would make every sentence unreadable. */
const EVERYBODYS: ReadonlySet<string> = new Set(
  (
    "localhost matrix synapse matrix-synapse postgres postgresql root admin administrator user users server old new home host " +
    "local main master worker media redis debian ubuntu test nobody daemon www-data mail example com org net the and for app " +
    "data database config node git docker container none null true false default homeserver bot bridge info support noreply"
  ).split(" "),
);
