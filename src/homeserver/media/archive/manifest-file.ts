import { inTurn } from "../../../pipeline/in-turn.ts";
import { compress, decompress } from "../../../pipeline/compress.ts";
import { packTar } from "../../../pipeline/tar.ts";
import type { Bytes } from "../../../pipeline/transform.ts";
import type { Differing } from "../section.ts";
import { MANIFEST_ENTRY } from "./names.ts";
import { type ArchiveRecord, mxcOf } from "./record.ts";

/** What a manifest says of the whole archive. */
export interface ArchiveHead {
  /** The server's name. */
  readonly entity: string;
  /** Milliseconds since 1970. */
  readonly createdTs: number;
  /** Uploads that have no file, or one of another size: named for whoever reads the archive; other readers pass it over. */
  readonly missing?: readonly Differing[];
}

/** Text that is compressed at once. */
const PIECE = 1024 * 1024;

/**
 * The manifest of an archive, as it grows. It cannot be written before the last file was read, and how long it is must
 * be known before it is written: so it is held, compressed, at some 150 bytes for each record.
 */
export class ManifestFile {
  readonly #head: ArchiveHead;
  readonly #pieces: Uint8Array[] = [];
  #text: string;
  #size = 0;
  #records = 0;

  constructor(head: ArchiveHead) {
    this.#head = head;
    const { entity, createdTs, missing = [] } = head;
    const ours = missing.length === 0 ? "" : `"synlift":${JSON.stringify({ missing })},`;
    this.#text = `{"version":2,"entity_id":${JSON.stringify(entity)},"created_ts":${createdTs},${ours}"media":{`;
  }

  get records(): number {
    return this.#records;
  }

  async add(record: ArchiveRecord): Promise<void> {
    this.#text += `${this.#records === 0 ? "" : ","}\n${JSON.stringify(mxcOf(record))}:${JSON.stringify(record)}`;
    this.#records += 1;
    if (this.#text.length >= PIECE) await this.#press();
  }

  /** All of `export-manifest.tgz`. To be called once, after the last record. */
  async finish(): Promise<readonly Uint8Array[]> {
    this.#text += "\n}}\n";
    await this.#press();
    const entry = {
      name: MANIFEST_ENTRY,
      size: this.#size,
      mode: 0o644,
      mtimeMs: this.#head.createdTs,
      content: () => decompress(inTurn(this.#pieces)),
    };
    return gather(compress(LEVEL, 1)(packTar([entry])));
  }

  async #press(): Promise<void> {
    const text = Buffer.from(this.#text);
    this.#text = "";
    this.#size += text.length;
    this.#pieces.push(...(await gather(compress(LEVEL, 1)(inTurn([text])))));
  }
}

/** gzip's quickest: the hashes in it are of no pattern anyway. */
const LEVEL = 1;

async function gather(source: Bytes): Promise<Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece);
  return pieces;
}
