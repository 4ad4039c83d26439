/**
 * Makes untrusted text safe to show: on one line, without control characters and characters that change the
 * writing direction. They are replaced with visible escapes.
 */
export function escapeControls(text: string): string {
  return text
    .replace(/[\t\n\r]+/g, " ")
    .replace(COMMANDING, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** How many cells of a terminal a cleaned text takes: two for wide characters, none for combining marks. */
export function widthOf(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (const { segment } of GRAPHEMES.segment(text)) width += WIDE.test(segment) ? 2 : 1;
  return width;
}

/** Truncates a text to at most `width` cells, with an ellipsis. */
export function truncate(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let kept = "";
  let left = width - 1;
  for (const { segment } of GRAPHEMES.segment(text)) {
    left -= widthOf(segment);
    if (left < 0) break;
    kept += segment;
  }
  return width > 0 ? `${kept}…` : "";
}

/** Fills a text up to `width` cells. */
export function pad(text: string, width: number, side: "left" | "right" = "right"): string {
  const spaces = " ".repeat(Math.max(0, width - widthOf(text)));
  return side === "right" ? text + spaces : spaces + text;
}

/** Breaks a text between words. A word that is longer than a line is not broken, so that paths can be copied. */
export function wrap(text: string, width: number): string[] {
  if (widthOf(text) <= width) return [text];
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ").filter((part) => part !== "")) {
    if (line !== "" && widthOf(line) + 1 + widthOf(word) > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return line === "" ? lines : [...lines, line];
}

// Control and format characters and line separators, except the two joiners that scripts and emoji are written with.
const COMMANDING = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const PLAIN = /^[ -~]*$/;
const GRAPHEMES = new Intl.Segmenter("en", { granularity: "grapheme" });
// Wide and Fullwidth of Unicode's EastAsianWidth, in blocks; counting too many cells is better than a line that wraps.
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f000}-\u{1faff}\u{20000}-\u{3fffd}\ufe0f]|\p{Emoji_Presentation}/u;
