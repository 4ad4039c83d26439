import type { Scalar, ScalarTag, Tags } from "yaml";
import { stringifyString } from "yaml/util";

const INTEGER =
  /^(?:[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$/;

const FLOAT = new RegExp(
  [
    /^[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?$/,
    /^\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?$/,
    /^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*$/,
    /^[-+]?\.(?:inf|Inf|INF)$/,
    /^\.(?:nan|NaN|NAN)$/,
  ]
    .map((pattern) => pattern.source)
    .join("|"),
);

const TIMESTAMP =
  /^(\d{4})-(\d\d)-(\d\d)$|^(\d{4})-(\d\d?)-(\d\d?)(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.(\d*))?(?:[ \t]*(?:Z|([-+])(\d\d?)(?::(\d\d))?))?$/;

/**
 * How a plain scalar gets its type, exactly as PyYAML's `safe_load` decides it (yaml/resolver.py, yaml/constructor.py).
 *
 * This is neither YAML 1.2 (`yes` and `0640` mean something) nor quite YAML 1.1 as the yaml package has it (there, `y` is
 * true and `1e3` a number; to PyYAML both are text). As the same rules decide what must be quoted when writing,
 * what we write means the same to Synapse.
 */
export const PYYAML_TAGS: Tags = ["map", "seq", "null", ...scalars(), "merge"];

function scalars(): ScalarTag[] {
  return [
    {
      identify: (value) => typeof value === "string",
      default: true,
      tag: "tag:yaml.org,2002:str",
      resolve: (text) => text,
      stringify: (item, context, onComment, onChompKeep) =>
        quotedBeyondAscii(item.value as string) ??
        stringifyString(item, { actualString: true, ...context }, onComment, onChompKeep),
    },
    {
      identify: (value) => typeof value === "boolean",
      default: true,
      tag: "tag:yaml.org,2002:bool",
      test: /^(?:yes|Yes|YES|true|True|TRUE|on|On|ON|no|No|NO|false|False|FALSE|off|Off|OFF)$/,
      resolve: (text) => /^(?:y|t|on)/i.test(text),
      stringify: (item) => asWritten(item, (text) => /^(?:y|t|on)/i.test(text)),
    },
    {
      identify: (value) => typeof value === "number",
      default: true,
      tag: "tag:yaml.org,2002:float",
      test: FLOAT,
      resolve: floatOf,
      stringify: (item) => asWritten(item, numberOf),
    },
    {
      identify: (value) => typeof value === "bigint" || Number.isInteger(value),
      default: true,
      tag: "tag:yaml.org,2002:int",
      test: INTEGER,
      resolve: integerOf,
      stringify: (item) => asWritten(item, numberOf),
    },
    {
      identify: (value) => value instanceof Date,
      default: true,
      tag: "tag:yaml.org,2002:timestamp",
      test: TIMESTAMP,
      resolve: timeOf,
      stringify: (item) => (item.value as Date).toISOString(),
    },
    {
      // PyYAML resolves this tag and has no constructor for it: Synapse would not start.
      default: true,
      tag: "tag:yaml.org,2002:value",
      test: /^=$/,
      resolve: () => {
        throw new Error("a lone =");
      },
    },
  ];
}

/** Integers above 2^53 keep all their digits: a password may look like a number. */
function integerOf(text: string): number | bigint {
  const digits = text.replaceAll("_", "");
  const negative = digits.startsWith("-");
  const bare = digits.replace(/^[-+]/, "");
  let value: bigint;
  if (bare.includes(":")) value = bare.split(":").reduce((sum, part) => sum * 60n + BigInt(part), 0n);
  else if (/^0[0-7]+$/.test(bare)) value = BigInt(`0o${bare}`);
  else value = BigInt(bare);
  if (negative) value = -value;
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function floatOf(text: string): number {
  const digits = text.replaceAll("_", "").toLowerCase();
  const sign = digits.startsWith("-") ? -1 : 1;
  const bare = digits.replace(/^[-+]/, "");
  if (bare === ".inf") return sign * Infinity;
  if (bare === ".nan") return NaN;
  return sign * bare.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
}

/** A whole float cannot be told from an integer once it is a number here, so what is written decides. */
function numberOf(text: string): number | bigint | undefined {
  if (INTEGER.test(text)) return integerOf(text);
  return FLOAT.test(text) ? floatOf(text) : undefined;
}

function timeOf(text: string): Date {
  const found = TIMESTAMP.exec(text)!;
  const [year, month, day] = found[1] === undefined ? found.slice(4, 7) : found.slice(1, 4);
  const [hours = "0", minutes = "0", seconds = "0", fraction = "", sign, zoneHours = "0", zoneMinutes = "0"] =
    found.slice(7);
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  const real =
    date.getUTCMonth() === Number(month) - 1 &&
    Number(hours) < 24 &&
    Number(minutes) < 60 &&
    Number(seconds) < 60;
  if (!real) throw new Error("a date that does not exist");
  date.setUTCHours(
    Number(hours),
    Number(minutes),
    Number(seconds),
    Math.trunc(Number(`0.${fraction}0`) * 1000),
  );
  const offset = (Number(zoneHours) * 60 + Number(zoneMinutes)) * (sign === "-" ? -1 : 1);
  return new Date(date.getTime() - offset * 60_000);
}

/** The original text, if it still means the value: `0640` stays `0640`. */
function asWritten(item: Scalar, meaning: (text: string) => unknown): string {
  const { source, value } = item;
  if (source !== undefined && Object.is(meaning(source), value)) return source;
  if (Object.is(value, -0)) return "-0.0";
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? ".nan" : value > 0 ? ".inf" : "-.inf";
  // PyYAML wants a dot and a signed exponent: Python reads 1e-7 as text.
  const [mantissa, exponent] = value.toString().split("e");
  return `${mantissa!.includes(".") ? mantissa! : `${mantissa!}.0`}${exponent === undefined ? "" : `e${exponent}`}`;
}

/** PyYAML refuses control characters in a file and takes some letters for line ends, so these are written as escapes. */
function quotedBeyondAscii(text: string): string | undefined {
  if (!/[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]/.test(text))
    return undefined;
  const escape = (letter: string) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text).replaceAll(/[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]/g, escape);
}
