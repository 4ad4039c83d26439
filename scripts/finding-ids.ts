// Which findings src/ can make: their ids, their levels, and the commands from which each can be reached.
import ts from "typescript";
import { EXIT_CODES } from "../src/errors.ts";
import type { Level } from "../src/report/finding.ts";
import { SourceProgram } from "./source-program.ts";

export interface MadeFinding {
  /** Up to the first colon; what is only known at run time is `*`. */
  readonly id: string;
  /** The id goes on after a colon, with a setting, a role or the like. */
  readonly hasSuffix: boolean;
  /** In increasing severity. */
  readonly levels: readonly Level[];
  /** In alphabetical order. */
  readonly commands: readonly string[];
}

export interface MadeFindings {
  readonly findings: readonly MadeFinding[];
  /** Places whose id could not be followed to its text: `src/…:line: expression`. */
  readonly unknown: readonly string[];
}

/** Stands for every error's code: `plan` reports a failure under the name that an export would fail with. */
export const ANY_EXIT_CODE = "(exit code)";

const LEVELS: readonly Level[] = ["ok", "note", "warning", "blocker"];
const OF_FINDING = new Set(["id", "level", "sentence", "evidence", "hint", "isDiff"]);

/** A text, and the place that decided on it. */
interface Said {
  readonly text: string;
  readonly at: ts.Node;
}

/** Reads all of src/ below `root` with TypeScript's own checker: takes a few seconds. */
export function collectFindings(root: string, program = new SourceProgram(root)): MadeFindings {
  const source = new Source(root, program);
  const graph = new Reach(source);
  const found = new Map<string, { suffix: boolean; levels: Set<Level>; commands: Set<string> }>();
  const unknown: string[] = [];
  for (const literal of source.literals()) {
    const ids = source.textsOf(propertyOf(literal, "id")!);
    if (ids === undefined || ids.length === 0) {
      unknown.push(source.describe(literal));
      continue;
    }
    const levels = source.levelsOf(literal);
    for (const { text, at } of ids) {
      const [id = "", ...rest] = text.split(":");
      const entry = found.get(id) ?? { suffix: false, levels: new Set(), commands: new Set() };
      found.set(id, entry);
      entry.suffix ||= rest.length > 0;
      for (const level of levels) entry.levels.add(level);
      for (const command of graph.commandsOf(at)) entry.commands.add(command);
    }
  }
  return {
    findings: [...found]
      .map(([id, { suffix, levels, commands }]) => ({
        id,
        hasSuffix: suffix,
        levels: LEVELS.filter((level) => levels.has(level)),
        commands: [...commands].sort(),
      }))
      .sort((a, b) => (a.id < b.id ? -1 : 1)),
    unknown,
  };
}

class Source {
  readonly files: readonly ts.SourceFile[];
  readonly checker: ts.TypeChecker;
  readonly #root: string;
  readonly #calls = new Map<ts.Node, ts.CallExpression[]>();
  #depth = 0;

  constructor(root: string, { checker, files }: SourceProgram) {
    this.#root = root;
    this.checker = checker;
    this.files = files;
    for (const file of this.files)
      visit(file, (node) => {
        if (!ts.isCallExpression(node) || !ts.isIdentifier(node.expression)) return;
        const made = this.declarationOf(node.expression);
        if (made) this.#calls.set(made, [...(this.#calls.get(made) ?? []), node]);
      });
  }

  /** The object literals that are findings, or are spread into one. */
  *literals(): Generator<ts.ObjectLiteralExpression> {
    const found: ts.ObjectLiteralExpression[] = [];
    for (const file of this.files)
      visit(file, (node) => {
        if (ts.isObjectLiteralExpression(node) && this.#isFinding(node)) found.push(node);
      });
    yield* found;
  }

  describe(node: ts.Node): string {
    const file = node.getSourceFile();
    const { line } = file.getLineAndCharacterOfPosition(node.getStart());
    return `${file.fileName.slice(this.#root.length).replace(/^\//, "")}:${line + 1}`;
  }

  #isFinding(literal: ts.ObjectLiteralExpression): boolean {
    const names = literal.properties.flatMap((one) => (one.name ? [one.name.getText()] : []));
    if (!names.includes("id") || !names.every((name) => OF_FINDING.has(name))) return false;
    const id = propertyOf(literal, "id")!;
    if (!isText(this.checker.getTypeAtLocation(id))) return false;
    // A finding that is passed on with other words or another level keeps its id; one without words is only counted.
    if (this.#isFindingsId(id)) return false;
    const sentence = propertyOf(literal, "sentence");
    if (sentence && ts.isStringLiteral(sentence) && sentence.text === "") return false;
    if (names.includes("level") || names.includes("sentence")) return true;
    return literal.properties.some(
      (one) => ts.isSpreadAssignment(one) && this.#looksLikeFinding(one.expression),
    );
  }

  #looksLikeFinding(node: ts.Node): boolean {
    const type = this.checker.getNonNullableType(this.checker.getTypeAtLocation(node));
    return ["id", "level", "sentence"].every((name) => type.getProperty(name) !== undefined);
  }

  #isFindingsId(node: ts.Expression): boolean {
    if (ts.isPropertyAccessExpression(node))
      return node.name.text === "id" && this.#looksLikeFinding(node.expression);
    const declaration = ts.isIdentifier(node) ? this.#declared(node) : undefined;
    return (
      declaration !== undefined &&
      ts.isBindingElement(declaration) &&
      this.#looksLikeFinding(declaration.parent)
    );
  }

  /** The function that a call leads to. */
  declarationOf(callee: ts.Expression): ts.Node | undefined {
    const symbol = this.checker.getSymbolAtLocation(
      ts.isPropertyAccessExpression(callee) ? callee.name : callee,
    );
    const declaration = symbol && this.resolved(symbol).valueDeclaration;
    if (!declaration) return undefined;
    // A part of what `import()` gives.
    if (ts.isBindingElement(declaration))
      return this.checker.getTypeAtLocation(callee).getCallSignatures()[0]?.declaration;
    return ts.isVariableDeclaration(declaration) ? declaration.initializer : declaration;
  }

  resolved(symbol: ts.Symbol): ts.Symbol {
    return symbol.flags & ts.SymbolFlags.Alias ? this.checker.getAliasedSymbol(symbol) : symbol;
  }

  levelsOf(literal: ts.ObjectLiteralExpression): Level[] {
    const level = propertyOf(literal, "level");
    if (!level) return [];
    const said = this.textsOf(level) ?? [];
    return LEVELS.filter((one) => said.some(({ text }) => text === one || text === "*"));
  }

  /** Every text that an expression can be; undefined when it cannot be followed. */
  textsOf(node: ts.Expression): Said[] | undefined {
    const literals = textsOfType(this.checker.getTypeAtLocation(node));
    if (literals !== undefined) {
      if (literals.length > 20 && literals.every((text) => text in EXIT_CODES))
        return [{ text: ANY_EXIT_CODE, at: node }];
      const passed = ts.isIdentifier(node) ? this.#passedIn(node) : undefined;
      return passed ?? literals.map((text) => ({ text, at: node }));
    }
    if (this.#depth > 8) return undefined;
    this.#depth++;
    try {
      return this.#follow(node);
    } finally {
      this.#depth--;
    }
  }

  #follow(node: ts.Expression): Said[] | undefined {
    if (ts.isParenthesizedExpression(node) || ts.isAsExpression(node) || ts.isNonNullExpression(node))
      return this.textsOf(node.expression);
    if (ts.isConditionalExpression(node))
      return both(this.textsOf(node.whenTrue), this.textsOf(node.whenFalse));
    if (ts.isTemplateExpression(node)) return this.#template(node);
    if (ts.isCallExpression(node)) return this.#returned(node);
    if (!ts.isIdentifier(node)) return undefined;
    const declaration = this.#declared(node);
    if (declaration && ts.isVariableDeclaration(declaration) && declaration.initializer)
      return this.textsOf(declaration.initializer);
    return this.#passedIn(node);
  }

  #declared(node: ts.Identifier): ts.Declaration | undefined {
    const symbol = ts.isShorthandPropertyAssignment(node.parent)
      ? this.checker.getShorthandAssignmentValueSymbol(node.parent)
      : this.checker.getSymbolAtLocation(node);
    return symbol && this.resolved(symbol).valueDeclaration;
  }

  /** For a parameter, or a part of one: what the calls of its function pass. */
  #passedIn(node: ts.Identifier): Said[] | undefined {
    const declaration = this.#declared(node);
    const path: string[] = [];
    let at: ts.Node | undefined = declaration;
    while (at && ts.isBindingElement(at)) {
      if (!ts.isObjectBindingPattern(at.parent)) return undefined;
      path.unshift((at.propertyName ?? at.name).getText());
      at = at.parent.parent;
    }
    if (!at || !ts.isParameter(at)) return undefined;
    const parameter = at;
    const made = parameter.parent;
    const calls = this.#calls.get(made) ?? [];
    if (calls.length === 0) return undefined;
    const index = made.parameters.indexOf(parameter);
    const said = calls.map((call) => {
      let passed: ts.Expression | undefined = call.arguments[index] ?? parameter.initializer;
      for (const name of path)
        passed = passed && ts.isObjectLiteralExpression(passed) ? propertyOf(passed, name) : undefined;
      return passed && this.textsOf(passed);
    });
    return said.every((one) => one !== undefined) ? said.flat() : undefined;
  }

  /** What cannot be followed within a template is a `*`. */
  #template(node: ts.TemplateExpression): Said[] {
    let all: Said[] = [{ text: node.head.text, at: node }];
    for (const { expression, literal } of node.templateSpans) {
      const inside = this.textsOf(expression) ?? [{ text: "*", at: node }];
      all = all.flatMap((before) =>
        inside.map(({ text, at }) => ({ text: `${before.text}${text}${literal.text}`, at })),
      );
    }
    return all;
  }

  #returned(call: ts.CallExpression): Said[] | undefined {
    const made = this.declarationOf(call.expression);
    if (!made || !ts.isFunctionLike(made) || !("body" in made) || !made.body) return undefined;
    const body = made.body as ts.Node;
    const returned: ts.Expression[] = [];
    if (!ts.isBlock(body)) returned.push(body as ts.Expression);
    else
      visit(body, (node) => {
        if (ts.isReturnStatement(node) && node.expression) returned.push(node.expression);
      });
    const said = returned.map((one) => this.textsOf(one));
    if (said.length === 0 || said.some((one) => one === undefined)) return undefined;
    return said.flatMap((one) => one!.map(({ text }) => ({ text, at: call })));
  }
}

/** From which commands a declaration at the top of a file can be reached, by the names that stand in it. */
class Reach {
  readonly #commands = new Map<ts.Node, Set<string>>();

  constructor(source: Source) {
    const uses = new Map<ts.Node, Set<ts.Node>>();
    const starts: [string, ts.Node][] = [];
    for (const file of source.files)
      for (const statement of file.statements) {
        if (ts.isImportDeclaration(statement)) continue;
        const used = new Set<ts.Node>();
        visit(statement, (node) => {
          if (!ts.isIdentifier(node)) return;
          const symbol = symbolOf(node, source.checker);
          const declaration = symbol && source.resolved(symbol).valueDeclaration;
          const top = declaration && topOf(declaration);
          if (top && top !== statement && !declaration.getSourceFile().isDeclarationFile) used.add(top);
        });
        uses.set(statement, used);
        const name = commandNameOf(statement);
        if (name !== undefined) starts.push([name, statement]);
      }
    for (const [name, start] of starts) this.#walk(name, start, uses);
  }

  commandsOf(node: ts.Node): ReadonlySet<string> {
    return this.#commands.get(topOf(node)!) ?? new Set();
  }

  #walk(name: string, start: ts.Node, uses: ReadonlyMap<ts.Node, ReadonlySet<ts.Node>>): void {
    const waiting = [start];
    for (let node = waiting.pop(); node; node = waiting.pop()) {
      const commands = this.#commands.get(node) ?? new Set();
      if (commands.has(name)) continue;
      this.#commands.set(node, commands.add(name));
      waiting.push(...(uses.get(node) ?? []));
    }
  }
}

/**
 * What a name stands for; a part of what `import()` gives stands for what its file exports. The members of other values are
 * passed over: their types would all have to be worked out, and what made the value is named as well.
 */
function symbolOf(node: ts.Identifier, checker: ts.TypeChecker): ts.Symbol | undefined {
  const { parent } = node;
  if (ts.isShorthandPropertyAssignment(parent)) return checker.getShorthandAssignmentValueSymbol(parent);
  if (ts.isPropertyAccessExpression(parent) && parent.name === node && !isImport(parent.expression))
    return undefined;
  if (
    ts.isBindingElement(parent) &&
    ts.isObjectBindingPattern(parent.parent) &&
    isImport(givenTo(parent.parent))
  )
    return checker.getTypeAtLocation(parent.parent).getProperty((parent.propertyName ?? node).getText());
  return checker.getSymbolAtLocation(node);
}

/** What a pattern takes apart: the value of a variable, or what `then` is called on. */
function givenTo(pattern: ts.ObjectBindingPattern): ts.Expression | undefined {
  let parent: ts.Node = pattern.parent;
  // One of several that `Promise.all` gives.
  while (ts.isBindingElement(parent) || ts.isArrayBindingPattern(parent)) parent = parent.parent;
  if (ts.isVariableDeclaration(parent)) return parent.initializer;
  const call = ts.isParameter(parent) ? parent.parent.parent : undefined;
  return call && ts.isCallExpression(call) ? call.expression : undefined;
}

function isImport(node: ts.Expression | undefined): boolean {
  return node?.getText().includes("import(") === true;
}

/** The name of the command that a statement of src/commands/ defines. */
function commandNameOf(statement: ts.Statement): string | undefined {
  if (!ts.isVariableStatement(statement)) return undefined;
  if (!/\/src\/commands\/[^/]+$/.test(statement.getSourceFile().fileName)) return undefined;
  for (const { type, initializer } of statement.declarationList.declarations) {
    if (!type?.getText().startsWith("Command<") || !initializer) continue;
    if (!ts.isObjectLiteralExpression(initializer)) continue;
    const name = propertyOf(initializer, "name");
    if (name && ts.isStringLiteral(name)) return name.text;
  }
  return undefined;
}

function topOf(node: ts.Node): ts.Node | undefined {
  let at = node;
  while (!ts.isSourceFile(at)) {
    if (ts.isSourceFile(at.parent)) return at;
    at = at.parent;
  }
  return undefined;
}

function propertyOf(literal: ts.ObjectLiteralExpression, name: string): ts.Expression | undefined {
  for (const one of literal.properties) {
    if (one.name?.getText() !== name) continue;
    if (ts.isPropertyAssignment(one)) return one.initializer;
    if (ts.isShorthandPropertyAssignment(one)) return one.name;
  }
  return undefined;
}

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  ts.forEachChild(node, (child) => {
    visit(child, see);
  });
}

function isText(type: ts.Type): boolean {
  if (type.isUnion()) return type.types.every(isText);
  return (type.flags & ts.TypeFlags.StringLike) !== 0;
}

function textsOfType(type: ts.Type): string[] | undefined {
  const all = type.isUnion() ? type.types : [type];
  const texts = all.flatMap((one) => (one.isStringLiteral() ? [one.value] : []));
  return texts.length === all.length ? texts : undefined;
}

function both(one: Said[] | undefined, other: Said[] | undefined): Said[] | undefined {
  return one && other && [...one, ...other];
}
