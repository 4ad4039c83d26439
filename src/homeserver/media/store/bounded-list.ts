/** Names, of which only the first are held: there may be millions. */
export class BoundedList {
  count = 0;
  readonly some: string[] = [];
  readonly #held: number;

  constructor(held = HELD) {
    this.#held = held;
  }

  add(name: string): void {
    this.count += 1;
    if (this.some.length < this.#held) this.some.push(name);
  }

  addAll({ count, some }: BoundedList): void {
    this.count += count;
    this.some.push(...some.slice(0, this.#held - this.some.length));
  }
}

const HELD = 100;
