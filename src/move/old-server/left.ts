import { FenceRecord } from "../../homeserver/service/fence/record.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { System } from "../../system/system.ts";
import { AGAIN, type Left, readable } from "../interrupted.ts";

/** Of the old server, whose fence is recorded in the bundle's folder. */
export async function leftOfOldServer(
  folder: string,
  { files, machine }: Pick<System, "files" | "machine">,
): Promise<Left> {
  const record = await readable(() => FenceRecord.read(folder, files, machine));
  const back = `synlift rollback --out ${quoteShellWord(folder)}`;
  if (record === "unreadable")
    return {
      state: "whether the old server is stopped is not known",
      hint: `${AGAIN}, or start it again: ${back}`,
    };
  if ((record?.activeChanges.length ?? 0) === 0)
    return { state: "the old server was left as it was; what is packed is kept", hint: AGAIN };
  return {
    state: "the old server is stopped, and stays stopped",
    hint: `${AGAIN}, or start it again: ${back}`,
  };
}
