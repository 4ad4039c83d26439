/** A name that is to be left out, and what stands in its place. */
export interface Hidden {
  readonly text: string;
  /** Such as "server-1". It must not hold any of the names itself. */
  readonly as: string;
  /** Whether "Old.Example.org" is the same as "old.example.org". Left out, it is for names with a dot, a colon or an @. */
  readonly anyCase?: boolean;
}

/** Which name has which stand-in: the given ones, and numbered ones for what is met on the way. */
export class StandIns {
  readonly #given = new Map<string, string>();
  readonly #met = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  readonly #taken: ReadonlySet<string>;

  constructor(hidden: readonly Hidden[]) {
    for (const one of hidden) this.#given.set(keyOf(one.text, isAnyCase(one)), one.as);
    this.#taken = new Set(hidden.map(({ as }) => as.toLowerCase()));
  }

  /** What was given for this whole name, if anything was. */
  given(name: string): string | undefined {
    return this.#given.get(keyOf(name, false)) ?? this.#given.get(keyOf(name, true));
  }

  /** What was given for it, or else the next "KIND-N" that is nobody's yet: always the same one for the same name. */
  for(kind: string, name: string): string {
    const known = this.given(name) ?? this.#met.get(`${kind} ${name}`);
    if (known !== undefined) return known;
    let number = (this.#counts.get(kind) ?? 0) + 1;
    while (this.#taken.has(`${kind}-${number}`)) number += 1;
    this.#counts.set(kind, number);
    this.#met.set(`${kind} ${name}`, `${kind}-${number}`);
    return `${kind}-${number}`;
  }
}

export const isAnyCase = ({ text, anyCase }: Hidden) => anyCase ?? /[.:@]/.test(text);

const keyOf = (name: string, anyCase: boolean) => (anyCase ? `any ${name.toLowerCase()}` : `as is ${name}`);
