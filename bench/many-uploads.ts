import { createHash } from "node:crypto";
import { closeSync, ftruncateSync, mkdirSync, openSync } from "node:fs";

/** Ids as random as Synapse's: nearly every upload has a folder of its own. */
export function upload(number: number): { id: string; sha256: string } {
  const hash = createHash("sha256").update(String(number)).digest();
  const id = Array.from(hash.subarray(0, 24), (byte) => LETTERS[byte % LETTERS.length]).join("");
  return { id, sha256: hash.toString("hex") };
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** An upload's file of that many bytes: a hole, which has its length and takes no room. */
export function makeFile(path: string, length: number): void {
  let file: number;
  try {
    file = openSync(path, "w");
  } catch {
    mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    file = openSync(path, "w");
  }
  ftruncateSync(file, length);
  closeSync(file);
}
