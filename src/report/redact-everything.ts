import { meaningsOf, writtenForms } from "./encodings.ts";
import type { Redaction } from "./placeholders.ts";
import { escaped, textRedactor } from "./redact-text.ts";

/** What must not be in a text that strangers will read. */
export interface KnownValues {
  /** Passwords, keys, tokens. */
  readonly secrets: readonly string[];
  /** Names of servers, hosts and people. */
  readonly names: readonly Redaction[];
}

export interface HowRedacted {
  /** Parts of paths that stay. */
  readonly keepPaths: readonly string[];
  /** First words of what has dots and is no host: "asyncio" of "asyncio.tasks". */
  readonly noHosts: readonly string[];
  /** Replace names too, and not only secrets and credentials. */
  readonly withNames: boolean;
}

/** Redacts texts of one report. The same value gets the same placeholder in all of them. */
export interface EverythingRedactor {
  (text: string): string;
  /** How many of the secrets were met. */
  readonly secretsMet: () => number;
  /** Whether a known value is still in this text, in any form. */
  readonly findsIn: (text: string) => boolean;
}

/**
 * A redactor for texts of any kind, such as logs of other programs. Secrets and names are found by their value, also
 * encoded or escaped (see `meaningsOf`). Besides, everything that looks like a credential, a key, an address, an id, a
 * domain or somebody's path is replaced, given or not: rather too much than too little. With `names` false only secrets
 * and credentials are.
 */
export function redactEverything(
  { secrets, names }: KnownValues,
  { keepPaths, noHosts, withNames }: HowRedacted,
): EverythingRedactor {
  const numbered = [...new Set(secrets)].filter((one) => one.trim().length >= SHORTEST_SECRET);
  const placeholders = new Map(
    numbered.flatMap((secret, index) => writtenForms(secret).map((form) => [form, `secret-${index + 1}`])),
  );
  const forms = [...placeholders.keys()].sort((a, b) => b.length - a.length);
  const literal = patternOf(forms.map((form) => wholeIfShort(form)));
  const hidden = withNames ? names.filter(({ text }) => text.length >= SHORTEST_NAME) : [];
  const inside = patternOf(
    [...numbered, ...hidden.filter(({ text }) => text.length >= SHORTEST_ENCODED).map(({ text }) => text)]
      .flatMap((text) => [text, text.normalize("NFC")])
      .map(escaped),
    "iu",
  );
  const readable = withNames
    ? textRedactor(hidden, { paths: { keep: keepPaths }, hosts: { notBehind: noHosts } })
    : undefined;
  const met = new Set<string>();
  const clean = new Set<string>();
  const encoded = new Map<string, string>();
  const tokens = new Map<string, string>();

  const decodesToKnown = (word: string) =>
    inside !== undefined && meaningsOf(word.slice(0, LONGEST_WORD)).some((text) => inside.test(text));

  function encodedWord(word: string): string {
    if (word.length < SHORTEST_ENCODED || clean.has(word)) return word;
    const known = encoded.get(word);
    if (known !== undefined) return known;
    if (!decodesToKnown(word)) {
      clean.add(word);
      return word;
    }
    // Only the encoded part of it, where that can be told.
    const parts = word.split(/([/?&=:.@|])/);
    const replaced =
      parts.length > 1 && !decodesToKnown(parts.map((part) => (decodesToKnown(part) ? "" : part)).join(""))
        ? parts.map((part) => (decodesToKnown(part) ? next(encoded, part, "encoded") : part)).join("")
        : next(encoded, word, "encoded");
    encoded.set(word, replaced);
    return replaced;
  }

  function redact(text: string): string {
    let shown = text.replace(ARMOUR, "-----$1: left out-----");
    if (literal)
      shown = shown.replace(literal, (form) => {
        const placeholder = placeholders.get(form)!;
        met.add(placeholder);
        return placeholder;
      });
    for (const [pattern, instead] of CREDENTIALS) shown = shown.replace(pattern, instead);
    // Long words are looked at in pieces that overlap.
    shown = shown.replace(WORD, (word) => encodedWord(word));
    shown = shown.replace(TOKEN, (word) => (isToken(word) ? next(tokens, word, "token") : word));
    return readable ? readable(shown) : shown;
  }

  const secretsAlone = patternOf(numbered.map(wholeIfShort), "u");
  return Object.assign(redact, {
    secretsMet: () => met.size,
    findsIn: (text: string) =>
      (secretsAlone?.test(text) ?? false) ||
      [...text.matchAll(WORD)].some(([word]) => word.length >= SHORTEST_ENCODED && decodesToKnown(word)),
  });
}

function next(known: Map<string, string>, word: string, kind: string): string {
  const found = known.get(word);
  if (found !== undefined) return found;
  const made = `${kind}-${new Set(known.values()).size + 1}`;
  known.set(word, made);
  return made;
}

function patternOf(sources: readonly string[], flags = "gu"): RegExp | undefined {
  return sources.length === 0 ? undefined : new RegExp(sources.join("|"), flags);
}

/** A password such as "abc" is replaced where it is a word of its own. */
const wholeIfShort = (form: string) =>
  form.length < 8 ? `(?<![\\p{L}\\p{N}])${escaped(form)}(?![\\p{L}\\p{N}])` : escaped(form);

const SHORTEST_SECRET = 3;
const SHORTEST_NAME = 3;
/** Shorter ones occur in what is decoded from anything. */
const SHORTEST_ENCODED = 4;
const LONGEST_WORD = 20_000;

/** Keys and messages of OpenPGP, SSH and TLS, also with line breaks as JSON writes them. */
const ARMOUR = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g;
const WORD = /(?:&(?:#x?[0-9A-Fa-f]{1,7}|[a-z]{2,6});|[^\s"'<>`,;(){}[\]])+/g;
const TOKEN = /(?<![A-Za-z0-9+_=-])[A-Za-z0-9+_=-]{20,}(?![A-Za-z0-9+_=-])/g;
/** Hashes of encrypted files and ids of runs are hexadecimal, and say nothing. */
const isToken = (word: string) =>
  /[0-9]/.test(word) &&
  /[A-Z]/.test(word) &&
  /[a-z]/.test(word) &&
  !/^[0-9A-Fa-f-]+$/.test(word) &&
  !/^\d{4}-\d{2}-\d{2}T/.test(word);

const CREDENTIALS: readonly (readonly [RegExp, string])[] = [
  [/([a-z][a-z0-9+.-]*:\/\/[^\s:/@"']*):[^\s/@"']+@/gi, "$1:secret@"],
  [/\b(Bearer|Basic)\s+[A-Za-z0-9+/_.~=-]+/gi, "$1 secret"],
  [/([?&](?:access_token|token|sig|signature|key|password)=)[^\s&"'<>]+/gi, "$1secret"],
  [/\b(syt|mat|mct|mua|mcr|mar)_[A-Za-z0-9_=-]{8,}/g, "secret"],
  [
    /\b(PGPASSWORD|AWS_SECRET_ACCESS_KEY|password|passwd|passphrase|pepper)(\s*[=:]\s?)(?!file\b|--)[^\s,;)"'}]+/gi,
    "$1$2secret",
  ],
  [/ed25519:[A-Za-z0-9_]+(?:\s+[A-Za-z0-9+/]{43}=?)?/g, "ed25519:key"],
];
