import { clean } from "./cells.ts";

/** HTML that was made by `markup`, and so holds nothing of unknown origin that was not escaped. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** What may stand in a template: text is escaped, markup goes in as it is, false and undefined leave nothing. */
export type Piece = string | number | Markup | readonly Markup[] | false | undefined;

/**
 * A piece of HTML. Whatever is put into it is escaped for text and for quoted attributes; attributes must be quoted,
 * and nothing may be put inside a script, a style sheet, a comment, or a URL.
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

/** Cleaned first: a page, too, can be made to read backwards. */
function escaped(text: string): string {
  return clean(text).replace(/[&<>"'`]/g, (character) => `&#${character.charCodeAt(0)};`);
}
