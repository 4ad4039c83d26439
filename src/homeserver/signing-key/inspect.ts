import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import { formatMode } from "../../report/units.ts";
import type { Files } from "../../system/files/files.ts";
import type { Http } from "../../system/http/http.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { Homeserver } from "../homeserver.ts";
import { localHttp, localUrlsOf } from "../listeners.ts";
import { readSigningKey } from "./export.ts";
import type { KeyFile, SigningKey } from "./key-file.ts";
import { oldKeyFindings, refreshFindings } from "./old-keys.ts";
import { type Published, publishedKeys } from "./published.ts";

/** How to fetch the keys that the running server publishes. */
export interface PublishedKeyOptions {
  readonly http: Http;
  readonly signal: AbortSignal;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** The base address of the running server, if its own listeners are not to be asked. */
  readonly url?: string | undefined;
}

/**
 * Checks that the key exists, that Synapse can read it and that others cannot. With `live`, also that it is the one that the running server
 * publishes, and that the old keys are valid. Reads only, and never shows more than the public key.
 */
export async function inspectSigningKey(
  homeserver: Homeserver,
  files: Files,
  live?: PublishedKeyOptions,
): Promise<Finding[]> {
  const { signingKey } = homeserver;
  const where = signingKey.kind === "file" ? signingKey.path : "the setting signing_key";
  let read: KeyFile;
  try {
    read = await readSigningKey(homeserver, files);
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    return [{ id: "signing-key", level: "blocker", sentence: error.message, ...hint }];
  }
  return [
    keyFinding(read, where),
    ...weakFindings(read, where),
    ...(await modeFindings(homeserver, files)),
    ...(live ? await liveFindings(homeserver, read, live) : []),
  ];
}

function keyFinding({ keys, badLines }: KeyFile, where: string): Finding {
  const id = "signing-key";
  if (badLines.length === 0 && keys.length > 0) {
    const evidence = keys.map((key) => `${key.id} ${key.publicKey}`);
    return { id, level: "ok", sentence: `the signing key is in ${where}`, evidence };
  }
  const what = badLines.length === 0 ? "holds no key" : `cannot be read at line ${badLines.join(", ")}`;
  return {
    id,
    level: "blocker",
    sentence: `the signing key in ${where} ${what}`,
    hint: "each line must be: ed25519, a version, the key in base64",
  };
}

/** CVE-2026-24044: a chart made keys whose id is always this one from few random bits. */
function weakFindings({ keys }: KeyFile, where: string): Finding[] {
  if (!keys.some(({ id }) => id === "ed25519:0")) return [];
  return [
    {
      id: "signing-key-weak",
      level: "warning",
      sentence: `the signing key in ${where} has the id ed25519:0, like keys that can be guessed (CVE-2026-24044)`,
      hint: "if Element Server Suite made this key, make a new one after the move and list this one in old_signing_keys",
    },
  ];
}

async function liveFindings(
  homeserver: Homeserver,
  { keys, badLines }: KeyFile,
  { http, signal, now, url }: PublishedKeyOptions,
): Promise<Finding[]> {
  const urls = url === undefined ? localUrlsOf(homeserver.listeners) : [url];
  const published = await publishedKeys(urls, { http: localHttp(http, homeserver.listeners), signal });
  const readable = badLines.length === 0 && keys.length > 0;
  return [
    ...(readable ? publishedFindings(homeserver, keys, published) : []),
    ...oldKeyFindings(homeserver.settings, keys, now),
    ...refreshFindings(homeserver.settings),
  ];
}

function publishedFindings(
  { serverName }: Homeserver,
  keys: readonly SigningKey[],
  published: Published | undefined,
): Finding[] {
  const id = "signing-key-published";
  if (!published) {
    return [
      {
        id,
        level: "note",
        sentence: "no running server publishes a signing key here, so it could not be compared",
        hint: "look again while the server runs, or say where it is: --url",
      },
    ];
  }
  const { url } = published;
  if (published.serverName !== serverName) {
    return [
      {
        id,
        level: "warning",
        sentence: `the server at ${url} is ${published.serverName}, so the signing key of ${serverName} could not be compared`,
        hint: "see which server listens there; --url says where to ask the right one",
      },
    ];
  }
  const lines = (all: readonly SigningKey[]) => all.map((key) => `${key.id} ${key.publicKey}`);
  const [ours, theirs] = [lines(keys), lines(published.keys)];
  const evidence = [
    ...ours.map((line) => `in the file: ${line}`),
    ...theirs.map((line) => `at ${url}: ${line}`),
  ];
  if (theirs.some((line) => !ours.includes(line))) {
    return [
      {
        id,
        level: "blocker",
        sentence: `the running server publishes a signing key that its configuration does not have`,
        evidence,
        hint: "the key was replaced since the server started, or this is not its configuration: find the file with the published key before anything is stopped",
      },
    ];
  }
  if (ours.length > theirs.length) {
    return [
      {
        id,
        level: "warning",
        sentence: "the configuration has a signing key that the running server does not publish yet",
        evidence,
        hint: "restart the server and check that it works before it is moved",
      },
    ];
  }
  const unproven = published.unverified.length > 0;
  return [
    { id, level: "ok", sentence: "the running server publishes the same signing key", evidence: ours },
    ...(unproven ? [notSigned(published)] : []),
  ];
}

const notSigned = ({ url, unverified }: Published): Finding => ({
  id: "signing-key-signature",
  level: "warning",
  sentence: `the response of ${url} is not signed with the key that it publishes: ${unverified.join(", ")}`,
  hint: "a proxy or a cache may respond instead of the server; other servers reject such a response",
});

async function modeFindings({ signingKey }: Homeserver, files: Files): Promise<Finding[]> {
  if (signingKey.kind === "inline") return [];
  const mode = (await files.stat(signingKey.path))?.mode ?? 0;
  if ((mode & ~0o640) === 0) return [];
  return [
    {
      id: "signing-key-mode",
      level: "warning",
      sentence: `the signing key at ${signingKey.path} has the mode ${formatMode(mode)}, others may read or change it`,
      hint: `chmod 0640 ${quoteShellWord(signingKey.path)}`,
    },
  ];
}
