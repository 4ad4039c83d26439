/** A name to redact, and its placeholder. */
export interface Redaction {
  readonly text: string;
  /** Such as "server-1". It must not contain any of the names itself. */
  readonly placeholder: string;
  /** Whether "Old.Example.org" is the same as "old.example.org". By default true for names with a dot, a colon or an @. */
  readonly ignoreCase?: boolean;
}

/** The placeholders of names: given ones, and numbered ones for names that are found in the text. */
export class Placeholders {
  readonly #given = new Map<string, string>();
  readonly #met = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  readonly #taken: ReadonlySet<string>;
  readonly #names: ReadonlySet<string>;

  constructor(hidden: readonly Redaction[]) {
    for (const one of hidden) this.#given.set(keyOf(one.text, isCaseInsensitive(one)), one.placeholder);
    this.#taken = new Set(hidden.map(({ placeholder }) => placeholder.toLowerCase()));
    this.#names = new Set(hidden.map(({ text }) => text.toLowerCase()));
  }

  /** The given placeholder of this name, if there is one. */
  given(name: string): string | undefined {
    return this.#given.get(keyOf(name, false)) ?? this.#given.get(keyOf(name, true));
  }

  /**
   * The given placeholder, or the next free "KIND-N"; always the same for the same name. Where KIND is itself a name to
   * redact, such as a database called "name", it is "someKIND-N": whoever looks for that name must not find it.
   */
  for(kind: string, name: string): string {
    const known = this.given(name) ?? this.#met.get(`${kind} ${name}`);
    if (known !== undefined) return known;
    let word = kind;
    while (this.#names.has(word)) word = `some${word}`;
    let number = (this.#counts.get(kind) ?? 0) + 1;
    while ([`${number}`, `${word}-${number}`].some((text) => this.#taken.has(text) || this.#names.has(text)))
      number += 1;
    this.#counts.set(kind, number);
    this.#met.set(`${kind} ${name}`, `${word}-${number}`);
    return `${word}-${number}`;
  }
}

export const isCaseInsensitive = ({ text, ignoreCase }: Redaction) => ignoreCase ?? /[.:@]/.test(text);

const keyOf = (name: string, anyCase: boolean) => (anyCase ? `any ${name.toLowerCase()}` : `as is ${name}`);
