// JSON Schemas of what commands write with --json: made from the types of what they return, so that neither can change
// without the other.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import type { Entry } from "../src/commands/command.ts";
import { COMMANDS } from "../src/commands/index.ts";
import { EXIT_CODES } from "../src/errors.ts";
import { EVENTS_FILE, JSON_VERSION, schemaFileOf, SCHEMAS } from "./json-files.ts";
import { SourceProgram } from "./source-program.ts";

/** All commands but those whose standard output belongs to the synlift that started them. */
export const WITH_JSON = COMMANDS.filter(({ name }) => name !== "pull-sender" && name !== "follow-source");

export type Schema = { readonly [name: string]: unknown };

/**
 * The schema files by name. Throws when the details of a command have no type of their own, or when a field that an
 * earlier schema in the same folder promises is gone.
 */
export function jsonSchemas(
  root: string,
  entries: readonly Entry[],
  program = new SourceProgram(root),
): Map<string, Schema> {
  const made = new Types(program);
  const schemas = new Map<string, Schema>();
  for (const entry of entries) schemas.set(schemaFileOf(entry), resultSchema(entry, made.detailsOf(entry)));
  schemas.set(EVENTS_FILE, eventsSchema());
  for (const [name, schema] of schemas) {
    const before = join(root, SCHEMAS, name);
    if (!existsSync(before)) continue;
    const gone = promisedBut(JSON.parse(readFileSync(before, "utf8")) as Schema, schema);
    if (gone.length > 0)
      throw new Error(
        `${name} promises ${gone.join(", ")}, and the program does not have it any more: scripts may rely on it; keep it, or begin version ${JSON_VERSION + 1} in scripts/json-schemas.ts`,
      );
  }
  return schemas;
}

const DIALECT = "https://json-schema.org/draft/2020-12/schema";
const idOf = (name: string) => `urn:synlift:json:v${JSON_VERSION}:${name}`;

const FINDING: Schema = object({
  id: { type: "string", description: "stable across versions; after a colon, what it is about" },
  level: { enum: ["ok", "note", "warning", "blocker"] },
  sentence: { type: "string", description: "for people; may change" },
  evidence: { type: "array", items: { type: "string" } },
  hint: { type: ["string", "null"] },
});

const resultSchema = ({ name, summary }: Entry, details: Schema): Schema => ({
  $schema: DIALECT,
  $id: idOf(name.replace(" ", "-")),
  title: `the result of synlift ${name} --json`,
  description: summary,
  ...object({
    type: { const: "result" },
    command: { const: name },
    exitCode: { type: "integer" },
    level: { enum: ["ok", "note", "warning", "blocker"] },
    counts: object({ ok: COUNT, note: COUNT, warning: COUNT, blocker: COUNT }),
    findings: { type: "array", items: FINDING },
    details,
  }),
});

const COUNT: Schema = { type: "integer", minimum: 0 };
const NUMBER_OR_NULL: Schema = { type: ["number", "null"] };
const TIME: Schema = { type: "string", description: "ISO 8601, UTC" };

/** Each line of standard error, but for what comes before the first word of ours. */
function eventsSchema(): Schema {
  const task = {
    id: { type: "string" },
    label: { type: "string" },
    unit: { type: "string", description: "bytes, files, rows or notices" },
    done: { type: "number" },
    total: NUMBER_OR_NULL,
    rate: NUMBER_OR_NULL,
    remaining: NUMBER_OR_NULL,
  };
  const event = (type: string, fields: Readonly<Record<string, unknown>>) =>
    object({ type: { const: type }, time: TIME, ...fields });
  return {
    $schema: DIALECT,
    $id: idOf("events"),
    title: "a line of standard error with --json",
    anyOf: [
      event("begin", task),
      event("progress", task),
      event("end", { ...task, seconds: { type: "number" } }),
      event("remark", { id: { type: "string" }, label: { type: "string" }, why: { type: "string" } }),
      event("note", { sentence: { type: "string" } }),
      event("outage", { since: TIME, seconds: { type: "number" }, over: { type: "boolean" } }),
      event("live", { sentence: { type: "string" }, details: { type: "object" } }),
      event("error", {
        code: { enum: [...Object.keys(EXIT_CODES), "interrupted", "unexpected"] },
        message: { type: "string" },
        hint: { type: ["string", "null"] },
        exitCode: { type: "integer" },
      }),
    ],
  };
}

function object(properties: Readonly<Record<string, unknown>>, optional: readonly string[] = []): Schema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: "object", properties, ...(required.length === 0 ? {} : { required }) };
}

/** What types are in JSON. */
class Types {
  readonly #source: SourceProgram;
  readonly #checker: ts.TypeChecker;

  constructor(source: SourceProgram) {
    this.#source = source;
    this.#checker = source.checker;
  }

  /** The type of what the command returns as its details; of several returns, any. */
  detailsOf({ name }: Entry): Schema {
    const path = `src/commands/${name.replace(" ", "-")}.ts`;
    const found: Schema[] = [];
    const walk = (node: ts.Node): void => {
      if (
        (ts.isPropertyAssignment(node) || ts.isShorthandPropertyAssignment(node)) &&
        node.name.getText() === "details"
      ) {
        const value = ts.isPropertyAssignment(node) ? node.initializer : node.name;
        const schema = this.schemaOf(this.#checker.getTypeAtLocation(value), node);
        const isOpen =
          schema["additionalProperties"] !== undefined || !("properties" in schema || "anyOf" in schema);
        if (isOpen)
          throw new Error(
            `${path}: the details have no members that are known: leave out the return type of the function that makes them`,
          );
        found.push(schema);
      }
      ts.forEachChild(node, walk);
    };
    walk(this.#source.file(path));
    if (found.length === 0) throw new Error(`${path}: no object that it returns has details`);
    return oneOf(found);
  }

  schemaOf(type: ts.Type, at: ts.Node, inside: readonly ts.Type[] = []): Schema {
    if (type.aliasSymbol?.name === "Json" || inside.includes(type)) return {};
    const { flags } = type;
    if (flags & ts.TypeFlags.Null) return { type: "null" };
    if (flags & ts.TypeFlags.BooleanLiteral) return { const: this.#checker.typeToString(type) === "true" };
    if (type.isStringLiteral() || type.isNumberLiteral()) return { const: type.value };
    if (flags & (ts.TypeFlags.String | ts.TypeFlags.TemplateLiteral)) return { type: "string" };
    if (flags & ts.TypeFlags.Number) return { type: "number" };
    if (flags & ts.TypeFlags.Boolean) return { type: "boolean" };
    if (type.isUnion()) return oneOf(this.#members(type).map((one) => this.schemaOf(one, at, inside)));
    if (!(flags & (ts.TypeFlags.Object | ts.TypeFlags.Intersection))) return {};
    const deeper = [...inside, type];
    if (this.#checker.isTupleType(type) || this.#checker.isArrayType(type)) {
      const items = this.#checker.getTypeArguments(type as ts.TypeReference);
      return { type: "array", items: oneOf(items.map((one) => this.schemaOf(one, at, deeper))) };
    }
    const properties: Record<string, Schema> = {};
    const optional: string[] = [];
    for (const property of this.#checker.getPropertiesOfType(type)) {
      const typed = this.#checker.getTypeOfSymbolAtLocation(property, at);
      const members = this.#members(typed);
      if (members.length === 0) continue;
      const mayLack =
        (property.flags & ts.SymbolFlags.Optional) !== 0 || members.length < partsOf(typed).length;
      if (mayLack) optional.push(property.name);
      const about = ts
        .displayPartsToString(property.getDocumentationComment(this.#checker))
        .replaceAll(/\s+/g, " ");
      properties[property.name] = {
        ...oneOf(members.map((one) => this.schemaOf(one, at, deeper))),
        ...(about === "" ? {} : { description: about }),
      };
    }
    const any = this.#checker.getIndexTypeOfType(type, ts.IndexKind.String);
    return {
      ...object(properties, optional),
      ...(any ? { additionalProperties: this.schemaOf(any, at, deeper) } : {}),
    };
  }

  /** Without undefined, which JSON leaves out. */
  #members(type: ts.Type): ts.Type[] {
    return partsOf(type).filter(({ flags }) => !(flags & (ts.TypeFlags.Undefined | ts.TypeFlags.Never)));
  }
}

const partsOf = (type: ts.Type): ts.Type[] => (type.isUnion() ? type.types : [type]);

/** Constants become one list, and the same schema stands once. */
function oneOf(schemas: readonly Schema[]): Schema {
  const distinct = [...new Map(schemas.map((one) => [JSON.stringify(one), one])).values()];
  if (distinct.length === 1) return distinct[0]!;
  if (distinct.some((one) => Object.keys(one).length === 0)) return {};
  const isConstant = (one: Schema) => Object.keys(one).length === 1 && "const" in one;
  const constants = distinct.filter(isConstant).map((one) => one["const"]);
  const others = distinct.filter((one) => !isConstant(one));
  if (constants.length === 2 && constants.every((one) => typeof one === "boolean"))
    others.push({ type: "boolean" });
  else if (constants.length > 0)
    others.push(constants.length === 1 ? { const: constants[0] } : { enum: constants });
  const plain = others.filter((one) => Object.keys(one).length === 1 && "type" in one);
  if (plain.length === others.length && plain.length > 1)
    return { type: [...new Set(plain.flatMap((one) => one["type"] as string | string[]))] };
  return others.length === 1 ? others[0]! : { anyOf: others };
}

/** Paths of members that an earlier schema has, required or not, and this one has not. */
function promisedBut(before: Schema, after: Schema, path = ""): string[] {
  const had = membersOf(before);
  const has = membersOf(after);
  return [...had].flatMap(([name, schemas]) => {
    const now = has.get(name);
    const here = path === "" ? name : `${path}.${name}`;
    if (now === undefined) return isOpen(after) ? [] : [here];
    return promisedBut({ anyOf: schemas }, { anyOf: now }, here);
  });
}

const isOpen = (schema: Schema): boolean =>
  Object.keys(schema).length === 0 || alternatives(schema).some((one) => Object.keys(one).length === 0);
const alternatives = (schema: Schema): Schema[] => (schema["anyOf"] as Schema[] | undefined) ?? [];

function membersOf(schema: Schema): Map<string, Schema[]> {
  const found = new Map<string, Schema[]>();
  const add = (name: string, one: Schema) => found.set(name, [...(found.get(name) ?? []), one]);
  for (const [name, one] of Object.entries((schema["properties"] ?? {}) as Record<string, Schema>))
    add(name, one);
  if (schema["items"]) add("[]", schema["items"] as Schema);
  for (const one of alternatives(schema))
    for (const [name, schemas] of membersOf(one)) for (const each of schemas) add(name, each);
  return found;
}
