import type { DatabaseRestore } from "../../homeserver/database/target.ts";
import { masArgs } from "../../homeserver/mas/address.ts";
import { MAS_CONFIG_ARTIFACT } from "../../homeserver/mas/artifact.ts";
import { type MasPlan, planMas } from "../../homeserver/mas/restore.ts";
import { type OpenedBundle, readConfigArtifact } from "./opened-bundle.ts";

/** The same for an opened bundle, where a database for the service was given. */
export async function masPlanOf(
  opened: OpenedBundle,
  databases: readonly DatabaseRestore[],
  where: Parameters<typeof planMas>[2],
): Promise<MasPlan | undefined> {
  const target = databases.find(({ store }) => store === "mas")?.target;
  if (target?.engine !== "postgres") return undefined;
  const packed = await readConfigArtifact(opened, MAS_CONFIG_ARTIFACT);
  return planMas(packed, masArgs(target.address), where);
}
