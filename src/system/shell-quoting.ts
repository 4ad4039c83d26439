/** Quotes a word for a POSIX shell, only if necessary, so that commands stay readable. */
export function quoteShellWord(text: string): string {
  if (/^[A-Za-z0-9_@%+=:,./-]+$/.test(text)) return text;
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * Splits a command into words as a shell does. Only blanks, quotes and backslashes are interpreted. Undefined when a
 * quote is not closed. Reverses `quoteShellWord`.
 */
export function splitShellWords(text: string): string[] | undefined {
  const words: string[] = [];
  const word = /\s*((?:[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+)/gsy;
  for (let end = 0; text.slice(end).trim() !== ""; end = word.lastIndex) {
    word.lastIndex = end;
    const found = word.exec(text)?.[1];
    if (found === undefined) return undefined;
    words.push(
      found.replace(
        /\\(.)|'([^']*)'|"((?:[^"\\]|\\.)*)"/gs,
        (_, bare?: string, single?: string, double?: string) =>
          bare ?? single ?? (double ?? "").replace(/\\(["\\$`])/g, "$1"),
      ),
    );
  }
  return words;
}

/** A command as text; a long one is wrapped before its options with backslashes, so that it can be pasted. */
export function formatShellCommand(words: readonly string[], width = 76): string {
  const whole = words.join(" ");
  if (whole.length <= width) return whole;
  const lines: string[] = [];
  let line = "";
  for (const [index, word] of words.entries()) {
    // An option and its value stay on one line.
    const breaks = word.startsWith("-") || (index > 1 && !words[index - 1]!.startsWith("-"));
    const unit =
      word.startsWith("--") && words[index + 1] !== undefined ? `${word} ${words[index + 1]!}` : word;
    if (breaks && line !== "" && line.length + 1 + unit.length > width - 2) {
      lines.push(line);
      line = `  ${word}`;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].join(" \\\n");
}
