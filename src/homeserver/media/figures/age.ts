import type { AgeColumn, Amount } from "../facts.ts";

/** Media of one day. */
export interface DayRow extends Amount {
  /** Days since 1970, UTC; negative for what has no usable date. */
  readonly day: number;
}

export const MAXIMUM = 24;
const RECENT = 12;

/** The day of a time in milliseconds, in either database. Times that no server can have had are -1. */
export const daySql = (column: string) =>
  `CASE WHEN ${column} >= 0 AND ${column} < 4102444800000 THEN ${column} / 86400000 ELSE -1 END`;

/** A media store by age: the last two years by month or, where it is older, the last year by month and the rest by year. */
export class Ages {
  readonly #months = new Map<string, { local: Sum; remote: Sum }>();

  add(side: "local" | "remote", { day, files, bytes }: DayRow): void {
    const month = day < 0 ? "" : new Date(day * 86_400_000).toISOString().slice(0, 7);
    const found = this.#months.get(month) ?? { local: nothing(), remote: nothing() };
    this.#months.set(month, found);
    add(found[side], { files, bytes });
  }

  /** Without gaps between the first and the present; the first column takes in all that is older still. */
  columns(now: number): AgeColumn[] {
    const dated = [...this.#months.keys()].filter(Boolean).sort();
    if (this.#months.size === 0) return [];
    const periods = periodsFrom(dated[0] ?? monthAt(now, 0), now);
    const columns = new Map(periods.map((period) => [period, { local: nothing(), remote: nothing() }]));
    if (this.#months.has("")) columns.set("", { local: nothing(), remote: nothing() });
    for (const [month, { local, remote }] of this.#months) {
      const column = columns.get(month && periodOf(month, periods))!;
      add(column.local, local);
      add(column.remote, remote);
    }
    const undated = columns.get("");
    columns.delete("");
    return [...(undated ? [["", undated] as const] : []), ...columns].map(([period, sums]) => ({
      period,
      ...sums,
    }));
  }
}

type Sum = { -readonly [name in keyof Amount]: Amount[name] };

const nothing = (): Sum => ({ files: 0, bytes: 0 });

function add(sum: Sum, { files, bytes }: Amount): void {
  sum.files += files;
  sum.bytes += bytes;
}

/** One is kept for what has no date. */
function periodsFrom(first: string, now: number): string[] {
  const months = Array.from({ length: MAXIMUM - 1 }, (_, index) => monthAt(now, index)).reverse();
  if (first >= months[0]!) return months.slice(Math.max(0, months.indexOf(first)));
  const recent = months.slice(-RECENT);
  const years: string[] = [];
  const last = yearBefore(recent[0]!);
  for (let year = last; years.length < MAXIMUM - 1 - RECENT && year >= Number(first.slice(0, 4)); year -= 1)
    years.unshift(String(year));
  return [...years, ...recent];
}

/** What is older than the first period is put into it, what is in the future into the last. */
function periodOf(month: string, periods: readonly string[]): string {
  const found = periods.findLast((period) => period <= month);
  return found ?? periods[0]!;
}

/** The last year of which a part lies before this month. */
const yearBefore = (month: string) => Number(month.slice(0, 4)) - (month.endsWith("-01") ? 1 : 0);

function monthAt(now: number, back: number): string {
  const date = new Date(now);
  return new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() - back, 1)).toISOString().slice(0, 7);
}
