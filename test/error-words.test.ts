import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { type ErrorCode, EXIT_CODES, MigrationError } from "../src/errors.ts";
import { errorText } from "../src/report/text.ts";

// The wording of every error, with its hint, as it is printed at a terminal of 100 columns. What is only known at run time stands
// as …. After a change that is meant: GOLDEN=write, and read the diff.

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const GOLDEN = join(ROOT, "test/golden/error-words.txt");

interface Said {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | undefined;
}

test("every error says what it says in the golden file, and every exit code has one", () => {
  const said = globSync("src/**/*.ts", { cwd: ROOT }).sort().flatMap(errorsIn);
  assert.ok(said.length > 200, `found only ${said.length} errors`);
  const codes = Object.keys(EXIT_CODES) as ErrorCode[];
  const missing = codes.filter((code) => !said.some((one) => one.code === code));
  assert.deepEqual(missing, [], "no error with this code was found in src/");
  const text = codes
    .map((code) => {
      const words = said
        .filter((one) => one.code === code)
        .map(({ message, hint }) =>
          errorText(new MigrationError(code, message, { hint }), { columns: 100, colour: false }),
        );
      return `== ${code} (${EXIT_CODES[code]})\n\n${[...new Set(words)].sort().join("\n")}`;
    })
    .join("\n\n");
  if (process.env["GOLDEN"] === "write") writeFileSync(GOLDEN, text);
  assert.ok(existsSync(GOLDEN), `${GOLDEN} is missing`);
  assert.equal(text, readFileSync(GOLDEN, "utf8"));
});

test("no error ends with a full stop, begins with a capital letter of a sentence, or has two spaces", () => {
  const text = readFileSync(GOLDEN, "utf8");
  for (const line of text.split("\n")) assert.doesNotMatch(line.replace(/^ +/, ""), / {2}/, line);
  const messages = text
    .split(/^error: /m)
    .slice(1)
    .map((one) => one.split("\nhint: ")[0]!.trim());
  for (const message of messages) assert.doesNotMatch(message, /[^.…]\.$/, message);
});

/** Errors that are made with a code and a sentence in the source. */
function errorsIn(path: string): Said[] {
  const source = ts.createSourceFile(
    path,
    readFileSync(join(ROOT, path), "utf8"),
    ts.ScriptTarget.ESNext,
    true,
  );
  const found: Said[] = [];
  const walk = (node: ts.Node): void => {
    if (ts.isNewExpression(node) && node.expression.getText() === "MigrationError") {
      const [code, message, more] = node.arguments ?? [];
      const messages = message ? textsOf(message) : [];
      for (const one of code ? textsOf(code) : [])
        if (one in EXIT_CODES)
          for (const words of messages)
            found.push({ code: one as ErrorCode, message: words, hint: hintOf(more) });
    }
    ts.forEachChild(node, walk);
  };
  walk(source);
  return found;
}

function hintOf(more: ts.Expression | undefined): string | undefined {
  if (more === undefined || !ts.isObjectLiteralExpression(more)) return undefined;
  for (const property of more.properties)
    if (ts.isPropertyAssignment(property) && property.name.getText() === "hint")
      return textsOf(property.initializer)[0];
  return undefined;
}

/** What an expression says: both sides of a choice; … for what is not in it. */
function textsOf(node: ts.Expression): string[] {
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return [node.text];
  if (ts.isConditionalExpression(node)) return [...textsOf(node.whenTrue), ...textsOf(node.whenFalse)];
  if (ts.isParenthesizedExpression(node)) return textsOf(node.expression);
  if (ts.isTemplateExpression(node))
    return [
      node.head.text +
        node.templateSpans.map(({ expression, literal }) => `${inner(expression)}${literal.text}`).join(""),
    ];
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken)
    return [`${textsOf(node.left)[0]!}${textsOf(node.right)[0]!}`];
  return ["…"];
}

/** A choice of words within a sentence is shown with both. */
function inner(node: ts.Expression): string {
  if (!ts.isConditionalExpression(node)) return "…";
  const all = textsOf(node);
  return all.every((text) => text === "…") ? "…" : `[${all.join("|")}]`;
}
