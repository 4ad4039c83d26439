import { escapeControls } from "./cells.ts";

/** HTML made by `markup`, in which all untrusted text is escaped. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A template value: text is escaped, markup is inserted unchanged, false and undefined insert nothing. */
export type Piece = string | number | Markup | readonly Markup[] | false | undefined;

/**
 * Makes HTML. Values are escaped for text and for quoted attributes. Attributes must be quoted, and values must not be
 * inserted into a script, a style sheet, a comment or a URL.
 */
export function markup(fixed: TemplateStringsArray, ...pieces: readonly Piece[]): Markup {
  return new Markup(fixed.reduce((text, part, index) => text + written(pieces[index - 1]) + part));
}

function written(piece: Piece): string {
  if (piece === undefined || piece === false) return "";
  if (piece instanceof Markup) return piece.text;
  if (typeof piece === "string" || typeof piece === "number") return escaped(String(piece));
  return piece.map(({ text }) => text).join("");
}

/** Control characters are escaped too: they could change the writing direction of a page. */
function escaped(text: string): string {
  return escapeControls(text).replace(/[&<>"'`]/g, (character) => `&#${character.charCodeAt(0)};`);
}
