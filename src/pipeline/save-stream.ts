import type { Files } from "../system/files/files.ts";
import type { Bytes } from "./transform.ts";

/** Saves a stream to a file, which gets its name only when it is complete. */
export async function saveStream(source: Bytes, path: string, files: Pick<Files, "begin">): Promise<void> {
  const file = await files.begin(path);
  try {
    for await (const chunk of source) await file.write(chunk);
    await file.finish();
  } finally {
    await file.abandon();
  }
}
