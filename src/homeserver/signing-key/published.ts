import { isSignedBy } from "../../delegation/signed-json.ts";
import { getIfAnswered, jsonOf } from "../../system/http/ask.ts";
import type { Http } from "../../system/http/http.ts";
import { isMapping } from "../settings.ts";
import type { SigningKey } from "./key-file.ts";

/** What a running server shows other servers: the answer to `/_matrix/key/v2/server`. */
export interface Published {
  /** Where it was asked. */
  readonly url: string;
  readonly serverName: string;
  readonly keys: readonly SigningKey[];
  /** Ids of keys whose signature of the answer is there and wrong, or is not there at all. */
  readonly unverified: readonly string[];
}

/** The first of these addresses that shows signing keys; undefined when none does. Rejects only when the run is to stop. */
export async function publishedKeys(
  urls: readonly string[],
  asked: { http: Http; signal: AbortSignal },
): Promise<Published | undefined> {
  for (const url of urls) {
    const answer = jsonOf(await getIfAnswered(`${url}/_matrix/key/v2/server`, asked));
    if (!answer || typeof answer["server_name"] !== "string" || !isMapping(answer["verify_keys"])) continue;
    const serverName = answer["server_name"];
    const keys = Object.entries(answer["verify_keys"]).flatMap(([id, value]) => {
      const key = isMapping(value) ? value["key"] : undefined;
      return typeof key === "string" ? [{ id, publicKey: key.replace(/=+$/, "") }] : [];
    });
    return {
      url,
      serverName,
      keys,
      unverified: keys.filter((key) => !isSignedBy(answer, serverName, key)).map(({ id }) => id),
    };
  }
  return undefined;
}
