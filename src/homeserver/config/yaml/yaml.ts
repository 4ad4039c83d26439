import {
  CST,
  type Document,
  type DocumentOptions,
  Lexer,
  LineCounter,
  parseDocument,
  type ParseOptions,
  type SchemaOptions,
  visit,
  type YAMLError,
} from "yaml";
import { PYYAML_TAGS } from "./rules.ts";

/** A YAML file that Synapse could not read. The message names the position and the kind of error, never the content. */
export class YamlSyntaxError extends Error {
  override readonly name = "YamlFault";
}

// A %YAML line in the file must not switch the rules: PyYAML has only these.
export const PYYAML: ParseOptions & DocumentOptions & SchemaOptions = {
  version: "1.1",
  schema: "failsafe",
  customTags: () => [...PYYAML_TAGS],
  resolveKnownTags: true,
  merge: true,
  uniqueKeys: false,
  // Pretty errors quote the line, and the line may hold a password.
  prettyErrors: false,
};

/** Reads one YAML file as PyYAML's `safe_load` would. Throws `YamlFault`. */
export function parseYaml(text: string): unknown {
  return valueOf(parseYamlDocument(text));
}

/** As `parseYaml`, but with comments and layout, to be changed and written again. Throws `YamlFault`. */
export function parseYamlDocument(text: string): Document.Parsed {
  const lines = new LineCounter();
  const document = parseDocument(text, { ...PYYAML, lineCounter: lines });
  // An unknown tag is only a warning to the parser; PyYAML rejects it.
  const fault = document.errors[0] ?? document.warnings.find(({ code }) => code === "TAG_RESOLVE_FAILED");
  if (fault)
    throw new YamlSyntaxError(
      `${describePosition(lines, fault.pos[0])}: ${ERROR_TEXTS[fault.code] ?? "this is not valid YAML"}`,
    );
  const place = refusedByPyYaml(text);
  if (place !== undefined)
    throw new YamlSyntaxError(
      `${describePosition(lines, place)}: ${text[place] === "\t" ? "a tab stands where only spaces may be" : "this character may not be in YAML"}`,
    );
  // To PyYAML a block at the very end of a file that does not end its line has no line end either.
  if (!text.endsWith("\n")) {
    visit(document, {
      Scalar: (_, scalar) => {
        const isBlock = scalar.type === "BLOCK_LITERAL" || scalar.type === "BLOCK_FOLDED";
        if (isBlock && scalar.range![1] >= text.length)
          scalar.value = String(scalar.value).replace(/\n$/, "");
      },
    });
  }
  return document;
}

/** All that PyYAML lets into a file (yaml/reader.py, NON_PRINTABLE). */
const NOT_PRINTABLE = /[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;

/**
 * Where a text that is YAML has something at which PyYAML stops: a character, or a tab outside of quotes, comments and blocks,
 * since it takes no tab for white space (yaml/scanner.py, scan_to_next_token). Synapse would not start with it.
 */
function refusedByPyYaml(text: string): number | undefined {
  const character = NOT_PRINTABLE.exec(text)?.index;
  if (character !== undefined || !text.includes("\t")) return character;
  let at = 0;
  let content = false;
  let block = false;
  for (const lexeme of new Lexer().lex(text)) {
    if (MARKS.includes(lexeme)) {
      content = lexeme === CST.SCALAR;
      continue;
    }
    const type = content ? "scalar" : CST.tokenType(lexeme);
    content = false;
    if (type === "scalar" ? !block : !HOLD_TABS.includes(type ?? "")) {
      const tab = lexeme.indexOf("\t");
      if (tab !== -1) return at + tab;
    }
    if (type === "block-scalar-header") block = true;
    else if (type === "scalar") block = false;
    at += lexeme.length;
  }
  return undefined;
}

/** Lexemes that stand for no character of the text: it has none of these. */
const MARKS: readonly string[] = [CST.DOCUMENT, CST.FLOW_END, CST.SCALAR];

const HOLD_TABS = ["comment", "single-quoted-scalar", "double-quoted-scalar", "directive-line"];

/** What a document means, as plain values. Throws `YamlFault`. */
export function valueOf(document: Document.Parsed | Document): unknown {
  try {
    return document.toJS({ maxAliasCount: 10_000 }) as unknown;
  } catch {
    throw new YamlSyntaxError("an alias or a merge key in it refers to nothing");
  }
}

function describePosition(lines: LineCounter, place: number): string {
  const { line, col } = lines.linePos(place);
  return `line ${line}, column ${col}`;
}

const ERROR_TEXTS: Partial<Record<YAMLError["code"], string>> = {
  BAD_ALIAS: "this alias refers to nothing",
  BAD_DQ_ESCAPE: "there is no such escape in double quotes",
  BAD_INDENT: "the indentation does not fit",
  BAD_SCALAR_START: "a value that begins with this character needs quotes",
  BLOCK_AS_IMPLICIT_KEY: "a value holds a colon and a space and needs quotes",
  MISSING_CHAR: "a closing quote, a bracket, a comma or a space is missing",
  MULTILINE_IMPLICIT_KEY: "a key does not end on its line",
  MULTIPLE_DOCS: "there is a second document in this file",
  TAB_AS_INDENT: "a tab is used to indent",
  TAG_RESOLVE_FAILED: "this value has a type that Synapse cannot read",
};
