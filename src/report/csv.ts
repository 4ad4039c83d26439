/** A number is written as it is; a text can be anything, so it is kept from being run. */
export type CsvCell = string | number;

/**
 * Rows as CSV after RFC 4180: fields between commas, lines that end with CRLF, quotes where they are needed.
 *
 * A spreadsheet runs a text that begins with "=", "+", "-", "@", a tab or a line break as a formula, also behind spaces
 * and as its full-width twin; such a text gets an apostrophe in front, which makes it a text again. Numbers that are
 * to be numbers there, also negative ones, are handed in as numbers; one that is not finite becomes an empty field.
 */
export function csvText(header: readonly string[], rows: Iterable<readonly CsvCell[]>): string {
  let text = csvLine(header);
  for (const row of rows) text += csvLine(row);
  return text;
}

/** One line of it, with its line break, for those who write line by line. */
export function csvLine(row: readonly CsvCell[]): string {
  // A line without anything on it would be no row at all.
  if (row.length === 1 && fieldOf(row[0]!) === "") return '""\r\n';
  return `${row.map(fieldOf).join(",")}\r\n`;
}

function fieldOf(cell: CsvCell): string {
  if (typeof cell === "number") return Number.isFinite(cell) ? String(cell) : "";
  const harmless = RUNS.test(cell) ? `'${cell}` : cell;
  return NEEDS_QUOTES.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

const RUNS = /^[\t\r\n]|^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]/;
// Spaces at the edges are part of a field, but many readers take them away unless it is quoted.
const NEEDS_QUOTES = /[",\r\n]|^\s|\s$/;
