/**
 * Verifies that an archive in pg_dump's custom format is complete, chunk by chunk. The table of contents at its start
 * lists the entries with data; the data blocks follow, each with its length. There is no end marker, so completeness
 * is known only by comparing both (PostgreSQL,
 * src/bin/pg_dump/pg_backup_archiver.c, `ReadHead` and `ReadToc`; pg_backup_custom.c).
 */
export class DumpArchive {
  /** The chunks of the table of contents so far. */
  #contents: Uint8Array[] = [];
  #length = 0;
  /** The first part of an incomplete block header. */
  #held: Uint8Array = new Uint8Array();
  /** Bytes needed before the table of contents is parsed again; parsing it after every chunk would be too slow. */
  #worthATry = FIRST_TRY;
  /** Ids of entries whose data are still missing; undefined until the table of contents is parsed. */
  #awaited: Set<number> | undefined;
  #flaw: string | undefined;
  #expected: "block" | "length" | "object" = "block";
  #inObjects = false;
  /** Bytes of the current data block to skip. */
  #toSkip = 0;

  /** Does not keep the chunk. */
  add(chunk: Uint8Array): void {
    if (this.#flaw !== undefined) return;
    if (this.#awaited) {
      this.#walk(chunk);
      return;
    }
    this.#contents.push(Uint8Array.from(chunk));
    this.#length += chunk.length;
    if (this.#length >= this.#worthATry) this.#tryContents();
  }

  /** After all of it was added: why the archive is not complete; undefined when it is. */
  findDefect(): string | undefined {
    if (this.#flaw === undefined && !this.#awaited) this.#tryContents();
    if (this.#flaw !== undefined) return this.#flaw;
    if (!this.#awaited) return "it ends within its table of contents";
    if (this.#expected !== "block" || this.#held.length > 0) return "it ends within a table's data";
    const left = this.#awaited.size;
    return left === 0
      ? undefined
      : `it ends before the data of ${left} more ${left === 1 ? "table" : "tables"}`;
  }

  #tryContents(): void {
    const bytes = Buffer.concat(this.#contents);
    const found = readContents(bytes);
    if (typeof found === "string") this.#flaw = found;
    else if (found) {
      this.#awaited = found.awaited;
      this.#contents = [];
      this.#walk(bytes.subarray(found.end));
    } else if (bytes.length > LONGEST) this.#flaw = "its table of contents does not end";
    this.#worthATry = 2 * bytes.length;
  }

  #walk(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length && this.#flaw === undefined;) {
      if (this.#toSkip > 0) {
        const skipped = Math.min(this.#toSkip, chunk.length - at);
        this.#toSkip -= skipped;
        at += skipped;
        continue;
      }
      const needed = this.#expected === "block" ? 1 + INT : INT;
      if (this.#held.length === 0 && chunk.length - at >= needed) {
        this.#head(chunk, at);
        at += needed;
        continue;
      }
      const taken = chunk.subarray(at, at + needed - this.#held.length);
      const head = Buffer.concat([this.#held, taken]);
      at += taken.length;
      this.#held = head.length === needed ? new Uint8Array() : head;
      if (head.length === needed) this.#head(head, 0);
    }
  }

  #head(bytes: Uint8Array, at: number): void {
    if (this.#expected === "block") {
      const kind = bytes[at];
      if ((kind !== TABLE && kind !== OBJECTS) || !this.#awaited!.delete(intIn(bytes, at + 1)))
        this.#flaw = "its data do not match its table of contents";
      this.#inObjects = kind === OBJECTS;
      this.#expected = this.#inObjects ? "object" : "length";
      return;
    }
    const value = intIn(bytes, at);
    if (value < 0) this.#flaw = "it contains a negative length";
    else if (this.#expected === "object") this.#expected = value === 0 ? "block" : "length";
    else if (value > 0) this.#toSkip = value;
    else this.#expected = this.#inObjects ? "object" : "block";
  }
}

const FIRST_TRY = 64 * 1024;
/** Maximum size of a table of contents in bytes: that of a homeserver has about 300,000. */
const LONGEST = 64 * 1024 * 1024;

/** Size of a number in bytes: its sign, and the number of bytes that the header must declare. */
const INT = 5;
const TABLE = 1;
const OBJECTS = 3;
/** The offset flag of entries without data. */
const NO_DATA = 3;

function intIn(bytes: Uint8Array, at: number): number {
  const size =
    bytes[at + 1]! + bytes[at + 2]! * 0x100 + bytes[at + 3]! * 0x1_0000 + bytes[at + 4]! * 0x100_0000;
  return bytes[at] === 0 ? size : -size;
}

/** The ids of entries with data, and the end of the table of contents; undefined when it is incomplete. */
function readContents(bytes: Uint8Array): { awaited: Set<number>; end: number } | string | undefined {
  const reader = new ContentsReader(bytes);
  try {
    const magic = reader.bytes(5);
    if (Buffer.from(magic).toString("latin1") !== "PGDMP") return "it does not begin as one";
    const [major, minor, , intSize, offsetSize, format] = reader.bytes(6);
    if (major !== 1 || minor! < OLDEST || minor! > NEWEST)
      return `its format version is ${major}.${minor}, and only 1.${OLDEST} to 1.${NEWEST} are supported`;
    if (intSize !== INT - 1 || format !== 1) return "it does not begin as one";
    if (minor! >= 15) reader.bytes(1);
    else reader.int();
    for (let time = 0; time < 7; time += 1) reader.int();
    for (let name = 0; name < 3; name += 1) reader.text();
    const awaited = new Set<number>();
    for (let left = reader.int(); left > 0; left -= 1) {
      const id = reader.int();
      if (reader.entry(minor!, offsetSize!) !== NO_DATA) awaited.add(id);
    }
    return { awaited, end: reader.at };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** The format versions of PostgreSQL 9.0, and of 17 and 18. */
const OLDEST = 12;
const NEWEST = 16;

/** Whether archives of this major version of pg_dump can be verified. */
export const canReadArchivesOf = (major: number) => major <= 18;

class ContentsReader {
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Throws a `RangeError` when there are fewer bytes. */
  bytes(count: number): Uint8Array {
    const end = this.at + count;
    if (end > this.#bytes.length) throw new RangeError("more data is needed");
    const taken = this.#bytes.subarray(this.at, end);
    this.at = end;
    return taken;
  }

  int(): number {
    return intIn(this.bytes(INT), 0);
  }

  /** Skips a text; false when there is none. */
  text(): boolean {
    const length = this.int();
    if (length > 0) this.bytes(length);
    return length >= 0;
  }

  /** Skips an entry after its id, and returns the offset flag of its data. */
  entry(minor: number, offsetSize: number): number {
    this.int();
    // Two ids of the catalogue, tag and kind; the section; its statements, schema and tablespace.
    for (let name = 0; name < 4; name += 1) this.text();
    this.int();
    for (let name = 0; name < 5; name += 1) this.text();
    if (minor >= 14) this.text();
    if (minor >= 16) this.int();
    // Owner, and whether it has oids; then its dependencies, up to an absent text.
    for (let name = 0; name < 2; name += 1) this.text();
    while (this.text());
    const [state] = this.bytes(1);
    this.bytes(offsetSize);
    return state!;
  }
}
