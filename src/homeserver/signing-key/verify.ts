import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import type { Homeserver } from "../homeserver.ts";
import { readSigningKey, type SigningKeySection } from "./export.ts";
import type { SigningKey } from "./key-file.ts";

/**
 * The gates on the signing key: the new host's is the one of the inventory, and where `published` is given, also the one
 * that other servers are shown: key id to public key, from `verify_keys` of `/_matrix/key/v2/server`.
 */
export async function verifySigningKey(
  section: SigningKeySection,
  homeserver: Homeserver,
  files: Files,
  published?: Readonly<Record<string, string>>,
): Promise<Finding[]> {
  const findings = [await sameKey(section, homeserver, files)];
  if (published) {
    const shown = Object.entries(published).map(([id, publicKey]) => ({ id, publicKey }));
    findings.push(
      compareKeys("signing-key-published", section.keys, shown, "the published signing key", {
        hint: "the address may lead to another server, or the source had changed its key: compare both with signing_key_path there",
      }),
    );
  }
  return findings;
}

async function sameKey(section: SigningKeySection, homeserver: Homeserver, files: Files): Promise<Finding> {
  try {
    const { keys, badLines } = await readSigningKey(homeserver, files);
    const hint = "put the key of the old server in place before the new one is started for the first time";
    if (badLines.length === 0)
      return compareKeys("signing-key", section.keys, keys, "the signing key", { hint });
    return {
      id: "signing-key",
      level: "blocker",
      sentence: "the signing key on this host cannot be read",
      hint,
    };
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    return { id: "signing-key", level: "blocker", sentence: error.message, ...hint };
  }
}

function compareKeys(
  id: string,
  before: readonly SigningKey[],
  now: readonly SigningKey[],
  what: string,
  more: { hint: string },
): Finding {
  const lines = (keys: readonly SigningKey[]) => keys.map((key) => `${key.id} ${key.publicKey}`);
  const [was, is] = [lines(before), lines(now)];
  const same = was.length === is.length && was.every((line) => is.includes(line));
  if (same) return { id, level: "ok", sentence: `${what} is the same as on the old host`, evidence: was };
  const evidence = [...was.map((line) => `at the source: ${line}`), ...is.map((line) => `now: ${line}`)];
  return {
    id,
    level: "blocker",
    sentence: `${what} differs from the one on the old host`,
    evidence,
    ...more,
  };
}
