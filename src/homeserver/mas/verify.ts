import type { Finding } from "../../report/finding.ts";
import type { Machine } from "../../system/machine.ts";
import type { Postgres } from "../../system/postgres/postgres.ts";
import type { ConfigSection } from "../config/pack/packed-file.ts";
import { verifyConfig } from "../config/verify.ts";
import { withPermittedAccount } from "../database/address.ts";
import type { DatabaseSection } from "../database/section.ts";
import { verifyDatabase } from "../database/verify.ts";
import type { Mas } from "../homeserver.ts";

/** The gates of the authentication service: its rows, and the secrets that must not change. Reads only. */
export async function masGates(
  section: { readonly database: DatabaseSection; readonly config: ConfigSection },
  mas: Mas | undefined,
  salt: Uint8Array,
  system: { postgres: Postgres; machine: Machine },
): Promise<Finding[]> {
  if (!mas) {
    return [
      {
        id: "mas-config",
        level: "blocker",
        sentence: "the authentication service was restored, but its configuration no longer exists",
        hint: "run the restore again",
      },
    ];
  }
  const same = verifyConfig(section.config, mas, salt).map(ofService);
  const may = await withPermittedAccount(mas.address, [mas.address.parameters["user"]], system);
  const session = await system.postgres.connect(may);
  const rows = await verifyDatabase(section.database, session, "mas").finally(() => session.close());
  return [...same, ...rows];
}

const ofService = ({ id, sentence, ...finding }: Finding): Finding => ({
  ...finding,
  id: `mas-${id}`,
  sentence: `in the authentication service's configuration, ${sentence}`,
});
