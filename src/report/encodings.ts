// In which forms a value may stand in a text: as it is written into JSON, URLs and pages, and encoded as base64 or hexadecimal.
import { domainToUnicode } from "node:url";

/** The forms of a value that keep its spaces and quotes, longest first; each once. */
export function writtenForms(value: string): string[] {
  const json = inJson(value);
  const forms = [
    value,
    json,
    inJson(json),
    inJson(value).replaceAll("/", "\\/"),
    value.replace(/[&<>"']/g, (letter) => `&${HTML[letter] ?? ""};`),
    value.replaceAll("'", "'\\''"),
    value.replaceAll("'", "''"),
    value.replaceAll("\n", "\\n"),
    encodeURIComponent(value),
    encodeURIComponent(encodeURIComponent(value)),
    encodeURI(value),
    new URLSearchParams({ v: value }).toString().slice(2),
    value.normalize("NFC"),
    value.normalize("NFD"),
  ];
  return [...new Set(forms)].sort((a, b) => b.length - a.length);
}

const HTML: Readonly<Record<string, string>> = { "&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "#39" };
const inJson = (value: string) => JSON.stringify(value).slice(1, -1);

/**
 * What a word (characters without a space) may stand for, if it is encoded: percent-encoding, escapes of JSON, HTML and
 * punycode, base64 in both alphabets at any offset, hexadecimal; encodings in encodings up to `depth`.
 */
export function meaningsOf(word: string, depth = 3): string[] {
  if (depth === 0) return [];
  const found = new Set<string>();
  for (const decode of DECODERS) for (const text of decode(word)) if (text !== word) found.add(text);
  return [...found].flatMap((text) => (isText(text) ? [text, ...meaningsOf(text, depth - 1)] : [text]));
}

/** What is decoded from something that was not encoded is no text, and is not decoded again. */
const isText = (text: string) => !/[\0-\x08\x0e-\x1f\x7f-\x9f\ufffd]/.test(text);

const DECODERS: readonly ((word: string) => string[])[] = [
  (word) =>
    word.includes("%")
      ? [
          word.replace(/(?:%[0-9A-Fa-f]{2})+/g, (run) =>
            Buffer.from(run.replaceAll("%", ""), "hex").toString(),
          ),
        ]
      : [],
  (word) =>
    word.includes("\\")
      ? [
          word
            .replace(/\\u\{?([0-9A-Fa-f]{4,6})\}?|\\x([0-9A-Fa-f]{2})/g, (_, wide: string, byte: string) =>
              character(Number.parseInt(wide || byte, 16)),
            )
            .replace(/\\([^ux])/g, "$1"),
        ]
      : [],
  (word) =>
    word.includes("&")
      ? [
          word.replace(
            /&(?:#x([0-9A-Fa-f]{1,6})|#([0-9]{1,7})|(amp|lt|gt|quot|apos));/g,
            (_, hex: string, decimal: string, name: string) =>
              name ? NAMED[name]! : character(hex ? Number.parseInt(hex, 16) : Number.parseInt(decimal, 10)),
          ),
        ]
      : [],
  (word) => {
    const encoded = /(?:[A-Za-z0-9-]+\.)*xn--[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*/.exec(word)?.[0];
    if (encoded === undefined) return [];
    const plain = domainToUnicode(encoded);
    return plain === "" ? [] : [plain];
  },
  (word) => runsOf(word, /[A-Za-z0-9+/_-]{6,}/g).flatMap(inBase64),
  (word) => runsOf(word, /(?:[0-9A-Fa-f]{2}){4,}/g).map((run) => Buffer.from(run, "hex").toString()),
];

const NAMED: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
const character = (code: number) => (code <= 0x10ffff ? String.fromCodePoint(code) : "");
const runsOf = (word: string, pattern: RegExp) => [...word.matchAll(pattern)].map(([run]) => run);

/** As one run, and its parts: "_" and "-" are letters of one alphabet and join words in the other. */
function inBase64(run: string): string[] {
  const parts = [run, ...run.split(/[_-]/), ...run.split("/")].filter((part) => part.length >= 4);
  return [...new Set(parts)].flatMap((part) =>
    [0, 1, 2, 3].flatMap((skipped) => {
      const bytes = Buffer.from(part.slice(skipped), "base64url");
      return [bytes.toString(), bytes.toString("latin1")];
    }),
  );
}
