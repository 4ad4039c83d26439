import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Files } from "../../system/files.ts";
import type { QuerySession } from "../../system/query.ts";
import { UPLOAD_KEYS, UPLOADS, uploadPath } from "./layout.ts";
import { meet } from "./meet.ts";
import { hasHashes, uploadRows } from "./rows.ts";
import type { Differing } from "./section.ts";
import { failToOpen } from "./store.ts";

export interface Comparison {
  readonly rows: number;
  readonly bytes: number;
  readonly differing: readonly Differing[];
  /** Uploads of the right size whose hash is not the one in their row; only looked for when asked. */
  readonly changed: readonly string[];
  /** Files whose hash was compared. */
  readonly hashed: number;
}

/**
 * Rows of local uploads against files. A row without a length is an id that was reserved and never used; rows of URL
 * previews have their files elsewhere (synapse/storage/databases/main/media_repository.py). Memory grows with what
 * differs alone. Throws `permission-denied` or `file-failed` for a folder that cannot be looked into.
 */
export async function compareMedia(
  session: QuerySession,
  store: string,
  files: Files,
  { hashes, tell }: { hashes: boolean; tell: (bytes: number) => void },
): Promise<Comparison> {
  const known = hashes && (await hasHashes(session, "local_media_repository"));
  const differing: Differing[] = [];
  const changed: string[] = [];
  let closed: string | undefined;
  let rows = 0;
  let bytes = 0;
  let hashed = 0;
  const count = (length: number) => {
    rows += 1;
    bytes += length;
    tell(length);
  };
  const compareHash = async (id: string, sha256: string) => {
    hashed += 1;
    if ((await hashOf(join(store, uploadPath(id)!), files)) !== sha256) changed.push(id);
  };
  await meet(uploadRows(session, { hashes: known }), files.walk(join(store, UPLOADS)), {
    ...UPLOAD_KEYS,
    both({ key, length, sha256 }, { size }) {
      if (length === null) return undefined;
      count(length);
      if (size !== length) differing.push({ mediaId: key, expected: length, found: size });
      else if (sha256) return compareHash(key, sha256);
      return undefined;
    },
    rowOnly({ key, length }) {
      if (length === null) return undefined;
      count(length);
      differing.push({ mediaId: key, expected: length, found: null });
      return undefined;
    },
    fileOnly({ kind, name }) {
      if (kind === "closed") closed ??= name;
    },
  });
  if (closed !== undefined) await failToOpen(join(store, UPLOADS, closed), files);
  return { rows, bytes, differing, changed, hashed };
}

async function hashOf(path: string, files: Files): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of files.read(path)) hash.update(chunk);
  return hash.digest("hex");
}

/** For people: "AbCd…: 4000 bytes by its row, no file". */
export const describeDiffering = ({ mediaId, expected, found }: Differing) =>
  `${mediaId}: ${expected} bytes by its row, ${found === null ? "no file" : `${found} on disk`}`;
