import type { System } from "../../system/system.ts";
import { AGAIN, type Left, readable } from "../interrupted.ts";
import { findRecord } from "./record.ts";

/** Of the new server, which is recorded beside its configuration. */
export async function leftOfNewServer(configFolder: string, { files }: Pick<System, "files">): Promise<Left> {
  const record = await readable(() => findRecord(configFolder, files));
  if (record !== "unreadable" && record?.opened)
    return { state: "the new server is open", hint: `${AGAIN}: it says whether everything is done` };
  return { state: "the new server is not open; what is complete is kept", hint: AGAIN };
}
