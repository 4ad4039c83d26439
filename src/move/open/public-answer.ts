import type { Homeserver } from "../../homeserver/homeserver.ts";
import type { Finding } from "../../report/finding.ts";
import { getIfAnswered, jsonOf } from "../../system/http/ask.ts";
import type { System } from "../../system/system.ts";
import type { RestoreRecord } from "../restore/record.ts";

interface Key {
  readonly id: string;
  readonly publicKey: string;
}

/**
 * Whether a server with this name and this signing key answers at the address of the configuration, while the one here is fenced: then
 * another one has the key and runs, the old one most likely. Any other answer, and none, prove nothing. Asks nothing for a rehearsal, whose
 * old server runs. Changes nothing.
 */
export async function publicAnswerGate(
  { serverName, settings }: Pick<Homeserver, "serverName" | "settings">,
  { rehearsal }: Pick<RestoreRecord, "rehearsal">,
  keys: readonly Key[],
  { http, signal, machine }: Pick<System, "http" | "signal" | "machine">,
): Promise<Finding[]> {
  const base = settings["public_baseurl"];
  const url = typeof base === "string" ? URL.parse(base) : null;
  if (rehearsal || url === null || !/^https?:$/.test(url.protocol) || url.username + url.password !== "")
    return [];
  const address = url.href.replace(/\/+$/, "");
  // No cache has an answer to this very request.
  const asked = `${address}/_matrix/key/v2/server?at=${machine.uuid()}`;
  const answer = await getIfAnswered(asked, { http, signal });
  const said = answer?.status === 200 ? jsonOf(answer) : undefined;
  if (said?.["server_name"] !== serverName) return [];
  const published = (said["verify_keys"] ?? {}) as Readonly<
    Record<string, { readonly key?: unknown } | null>
  >;
  const same = keys.find(({ id, publicKey }) => published[id]?.key === publicKey);
  if (!same) return [];
  return [
    {
      id: "old-server-answers",
      level: "blocker",
      sentence: `${address} answers as ${serverName}, with its signing key, although the server here is fenced: another one runs`,
      evidence: [`it publishes ${same.id}, as at the old host`],
      hint: "two servers with one name and one key must never run, and what people write there is not here: stop the old server; if it was rolled back, the move has to be made again. If you are certain that no server of yours answers there: --accept old-server-answers",
    },
  ];
}
