/** What a header of tar says of a regular file. */
export interface FileHeader {
  readonly name: string;
  readonly size: number;
  readonly mode: number;
  /** Milliseconds since 1970; the header keeps whole seconds. */
  readonly mtimeMs: number;
}

/** Bytes of a block: of each header, and what a file's content is filled up to. */
export const BLOCK = 512;

/** POSIX.1-2024, pax, "ustar Interchange Format": where each field begins. */
const MODE = 100;
const SIZE = 124;
const MTIME = 136;
const CHECKSUM = 148;
const TYPE = 156;
const PREFIX = 345;

/** The longest name and prefix. */
const NAME_LENGTH = 100;
const PREFIX_LENGTH = 155;

const TYPE_FILE = "0";
const TYPE_PAX = "x";

/** The greatest number of 11 octal digits, as sizes and times have them. */
const MOST = 8 ** 11 - 1;

/** What all headers have in common: no owner, no device, and spaces for a checksum that is not computed yet. */
const TEMPLATE = (() => {
  const bytes = Buffer.alloc(BLOCK);
  for (const field of [108, 116, 329, 337]) bytes.write("000000 ", field, "latin1");
  bytes.write("ustar\0" + "00", 257, "latin1");
  bytes.fill(" ", CHECKSUM, TYPE);
  return bytes;
})();

/**
 * The header of a regular file: one block; three or more, with an extended header (pax), where the name does not fit or
 * is not plain ASCII.
 */
export function encodeHeader(file: FileHeader): Buffer {
  const split = splitName(file.name);
  if (split) return block(file, split, TYPE_FILE);
  const record = Buffer.from(paxRecord("path", file.name));
  const plain = { name: "PaxHeader", prefix: "" };
  const filled = Buffer.alloc(Math.ceil(record.length / BLOCK) * BLOCK);
  filled.set(record);
  return Buffer.concat([
    block({ ...file, size: record.length }, plain, TYPE_PAX),
    filled,
    block(file, plain, TYPE_FILE),
  ]);
}

interface SplitName {
  readonly name: string;
  readonly prefix: string;
}

/** A name that is too long is split at a slash; undefined where none will do. */
function splitName(whole: string): SplitName | undefined {
  if (Buffer.byteLength(whole) !== whole.length) return undefined;
  if (whole.length <= NAME_LENGTH) return { name: whole, prefix: "" };
  const slash = whole.indexOf("/", whole.length - NAME_LENGTH - 1);
  if (slash === -1 || slash > PREFIX_LENGTH) return undefined;
  return { name: whole.slice(slash + 1), prefix: whole.slice(0, slash) };
}

function block({ size, mode, mtimeMs }: FileHeader, { name, prefix }: SplitName, type: string): Buffer {
  const bytes = Buffer.from(TEMPLATE);
  bytes.write(name, 0, "latin1");
  bytes.write(`${octal(mode & 0o7777, 6)} `, MODE, "latin1");
  if (size <= MOST) bytes.write(`${octal(size, 11)} `, SIZE, "latin1");
  else writeBase256(size, bytes);
  const seconds = Math.min(Math.max(Math.floor(mtimeMs / 1000), 0), MOST);
  bytes.write(`${octal(seconds, 11)} `, MTIME, "latin1");
  bytes.write(type, TYPE, "latin1");
  bytes.write(prefix, PREFIX, "latin1");
  let sum = 0;
  for (const byte of bytes) sum += byte;
  bytes.write(`${octal(sum, 6)} \0`, CHECKSUM, "latin1");
  return bytes;
}

const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0");

/** Of GNU tar, which other programs read too: the highest bit of the first byte is set, and the number is in binary. */
function writeBase256(value: number, bytes: Buffer): void {
  bytes[SIZE] = 0x80;
  bytes.writeUInt32BE(Math.floor(value / 2 ** 32), SIZE + 4);
  bytes.writeUInt32BE(value % 2 ** 32, SIZE + 8);
}

/** "LENGTH KEY=VALUE\n", where the length counts itself too. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const length = Buffer.byteLength(rest);
  let digits = String(length).length;
  if (String(length + digits).length > digits) digits += 1;
  return `${length + digits}${rest}`;
}
