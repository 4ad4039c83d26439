/** Lines of a configuration file; a nested list is indented. */
export type Lines = readonly (string | Lines)[];

/** The text of a file. Empty lines stay empty. */
export const fileText = (lines: Lines, indent = "    "): string => `${flat(lines, "", indent).join("\n")}\n`;

const flat = (lines: Lines, before: string, indent: string): string[] =>
  lines.flatMap((line) =>
    typeof line === "string"
      ? [line === "" ? "" : `${before}${line}`]
      : flat(line, `${before}${indent}`, indent),
  );

/** Comments, a line each. */
export const comments = (sentences: readonly string[]): string[] =>
  sentences.map((sentence) => (sentence === "" ? "#" : `# ${sentence}`));

/** "127.0.0.1:443", "[::1]:443"; without an address, the port alone after `any`. */
export const endpointText = (
  { address, port }: { readonly address?: string | undefined; readonly port: number },
  any = "",
): string => {
  if (address === undefined) return `${any}${port}`;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
};
