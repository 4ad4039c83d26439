/** A number is written as it is; a text is protected against being evaluated as a formula. */
export type CsvCell = string | number;

/**
 * Rows as CSV after RFC 4180: fields between commas, lines that end with CRLF, quotes where they are needed.
 *
 * A spreadsheet evaluates a text that begins with "=", "+", "-", "@", a tab or a line break as a formula, also after
 * spaces and with full-width characters. Such a text is prefixed with an apostrophe. Pass numbers, also negative ones,
 * as numbers; a number that is not finite becomes an empty field.
 */
export function csvText(header: readonly string[], rows: Iterable<readonly CsvCell[]>): string {
  let text = csvLine(header);
  for (const row of rows) text += csvLine(row);
  return text;
}

/** One CSV line with its line break, for writing line by line. */
export function csvLine(row: readonly CsvCell[]): string {
  // An empty line would not be read as a row.
  if (row.length === 1 && fieldOf(row[0]!) === "") return '""\r\n';
  return `${row.map(fieldOf).join(",")}\r\n`;
}

function fieldOf(cell: CsvCell): string {
  if (typeof cell === "number") return Number.isFinite(cell) ? String(cell) : "";
  const harmless = RUNS.test(cell) ? `'${cell}` : cell;
  return NEEDS_QUOTES.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

const RUNS = /^[\t\r\n]|^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]/;
// Leading and trailing spaces are part of a field, but many readers strip them unless it is quoted.
const NEEDS_QUOTES = /[",\r\n]|^\s|\s$/;
