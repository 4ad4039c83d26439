import { isDeepStrictEqual } from "node:util";
import {
  Document,
  isAlias,
  isCollection,
  isMap,
  isScalar,
  type Node,
  Scalar,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from "yaml";
import { MigrationError } from "../../../errors.ts";
import { isMapping } from "../../settings.ts";
import { parseYaml, parseYamlDocument, PYYAML, valueOf } from "./yaml.ts";

/** A new value for one setting; undefined removes it. */
export interface Edit {
  readonly steps: readonly (string | number)[];
  readonly value: unknown;
}

/**
 * Changes settings in one YAML file. Comments stay, and so does every byte of the top-level settings that are
 * not edited. The result was parsed again and has the values that were asked for; throws `restore-failed` where that is not possible.
 */
export function editYaml(text: string, edits: readonly Edit[], path: string): string {
  const document = parseYamlDocument(text);
  const wanted = withoutSharedObjects(valueOf(document)) as Record<string, unknown>;
  if (!isMap(document.contents) || !isMapping(wanted)) throw cannotEdit(path);
  for (const { steps, value } of edits) change(wanted, steps, value);

  const edited = new Set(edits.map(({ steps }) => String(steps[0])));
  if (usesAliases(document, edited)) resolveAliases(document);
  const added: string[] = [];
  for (const { steps, value } of edits) {
    if (document.contents.has(steps[0])) put(document, document.contents, steps, value, wanted);
    else if (!added.includes(String(steps[0])) && Object.hasOwn(wanted, steps[0]!))
      added.push(String(steps[0]));
  }
  const appended = added.map((key) => write(documentOf({ [key]: wanted[key] }), text)).join("");
  const whole = write(document, text);
  for (const result of [spliceSections(text, whole, edited) + appended, whole + appended]) {
    if (parsesTo(result, wanted)) return result;
  }
  // Nothing can be put below settings that stand in braces.
  for (const key of added) document.set(key, nodeOf(document, wanted[key]));
  document.contents.flow = false;
  const rewritten = write(document, text);
  if (parsesTo(rewritten, wanted)) return rewritten;
  throw cannotEdit(path);
}

const cannotEdit = (path: string) =>
  new MigrationError("restore-failed", `cannot change the settings in ${path} without changing others`, {
    hint: "write the file without anchors and aliases at the source, check that Synapse starts with it, and export again",
  });

function parsesTo(text: string, wanted: unknown): boolean {
  try {
    return isDeepStrictEqual(parseYaml(text), wanted);
  } catch {
    return false;
  }
}

/** A deep copy without shared objects: an alias gives the same object in two places. */
function withoutSharedObjects(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSharedObjects);
  if (!isMapping(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withoutSharedObjects(inner)]));
}

function change(within: unknown, [step, ...rest]: readonly (string | number)[], value: unknown): void {
  const holder = within as Record<string | number, unknown>;
  if (rest.length > 0) {
    if (typeof holder[step!] !== "object" || holder[step!] === null) {
      if (value === undefined) return;
      holder[step!] = {};
    }
    change(holder[step!], rest, value);
  } else if (value === undefined) Reflect.deleteProperty(holder, step!);
  else holder[step!] = value;
}

/** Changes the smallest node that holds the value; where a merge key is involved, the whole mapping. */
function put(
  document: Document,
  within: YAMLMap | YAMLSeq,
  [step, ...rest]: readonly (string | number)[],
  value: unknown,
  wanted: unknown,
): void {
  const there = onlyValueOf(within, step!);
  const meant = (wanted as Record<string | number, unknown>)[step!];
  if (rest.length > 0 && isCollection(there) && !hasMergeKey(there)) {
    put(document, there, rest, value, meant);
  } else if (meant === undefined) within.delete(step);
  else within.set(step, keepingComments(nodeOf(document, meant), there));
}

/** The last value of a key, the one that counts; the others go. */
function onlyValueOf(within: YAMLMap | YAMLSeq, step: string | number): Node | undefined {
  if (isMap(within)) {
    const same = within.items.filter(({ key }) => isScalar(key) && key.value === step);
    within.items = within.items.filter((pair) => !same.includes(pair) || pair === same.at(-1));
  }
  return within.get(step, true);
}

const hasMergeKey = (node: unknown) =>
  isMap(node) && node.items.some(({ key }) => isScalar(key) && (key.source === "<<" || key.value === "<<"));

function keepingComments(node: Node, old: Node | undefined): Node {
  if (old?.comment != null) node.comment = old.comment;
  if (old?.commentBefore != null) node.commentBefore = old.commentBefore;
  if (old?.spaceBefore) node.spaceBefore = true;
  if (isCollection(node) && isCollection(old) && old.flow) node.flow = true;
  return node;
}

function nodeOf(document: Document, value: unknown): Node {
  const node = document.createNode(value) as Node;
  const quoteUnlessPlain = (scalar: Scalar) => {
    // Quotes every text with a character that some YAML reader could interpret.
    if (typeof scalar.value === "string" && !/^[A-Za-z/][\w./-]*$/.test(scalar.value))
      scalar.type = Scalar.QUOTE_DOUBLE;
  };
  if (isScalar(node)) quoteUnlessPlain(node);
  else
    visit(node, {
      Scalar: (_, scalar) => {
        quoteUnlessPlain(scalar);
      },
    });
  return node;
}

function documentOf(value: Record<string, unknown>): Document {
  const document = new Document(null, PYYAML);
  document.contents = nodeOf(document, value);
  return document;
}

/** Whether an edited setting contains an alias or a merge key, or another setting refers to it by an alias. */
function usesAliases(document: Document.Parsed, edited: ReadonlySet<string>): boolean {
  let entangled = false;
  for (const { key, value } of (document.contents as unknown as YAMLMap<Scalar, Node>).items) {
    if (!edited.has(String(key.value))) continue;
    if (isAlias(value) || (value as Node | null)?.anchor) entangled = true;
    else if (isCollection(value)) {
      visit(value, {
        Node: (_, node) => {
          if (isAlias(node) || node.anchor) entangled = true;
        },
      });
    }
  }
  return entangled;
}

/** Replaces every alias by a copy of its value. The values stay the same. */
function resolveAliases(document: Document): void {
  visit(document, {
    Alias: (_, alias) => {
      const copy = alias.resolve(document)?.clone() as Node | undefined;
      if (copy && !isAlias(copy)) delete copy.anchor;
      return copy;
    },
  });
  visit(document, {
    Collection: (_, node) => {
      delete node.anchor;
    },
    Scalar: (_, node) => {
      delete node.anchor;
    },
  });
}

function write(document: Document, like: string): string {
  return document.toString({
    lineWidth: 0,
    doubleQuotedMinMultiLineLength: Number.MAX_SAFE_INTEGER,
    indentSeq: !/^[^\s#-][^\n]*:[ \t]*\n- /m.test(like),
    flowCollectionPadding: /[[{] /.test(like),
  });
}

/** The old text, in which only the edited top-level settings are replaced by the new ones. */
function spliceSections(old: string, edited: string, keys: ReadonlySet<string>): string {
  const before = sections(old);
  const after = new Map(sections(edited).map((section) => [section.key, section.text]));
  const last = new Map(before.map((section, position) => [section.key, position]));
  const parts = before.map(({ key, text }, position) => {
    if (key === undefined || !keys.has(key)) return text;
    return last.get(key) === position ? (after.get(key) ?? "") : "";
  });
  const result = parts.join("");
  return result === "" || result.endsWith("\n") ? result : `${result}\n`;
}

/** A text cut where its top-level keys begin; what comes before the first has no key. */
function sections(text: string): { key: string | undefined; text: string }[] {
  const { contents } = parseYamlDocument(text);
  if (!isMap(contents)) return [{ key: undefined, text }];
  const starts = contents.items.map(({ key }) => {
    const at = isScalar(key) ? key.range[0] : 0;
    return { key: isScalar(key) ? String(key.value) : undefined, at: text.lastIndexOf("\n", at - 1) + 1 };
  });
  const cuts = [{ key: undefined, at: 0 }, ...starts];
  return cuts.map(({ key, at }, position) => ({
    key,
    text: text.slice(at, cuts[position + 1]?.at ?? text.length),
  }));
}
