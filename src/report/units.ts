import type { Task } from "../system/progress.ts";

/** Binary multiples, as `ls -lh` and disk tools count: "512 B", "1.4 GiB". An unknown size is "-". */
export function formatBytes(bytes: number): string {
  if (!usable(bytes)) return "-";
  let value = Math.round(bytes);
  let unit = 0;
  // A value that would be rounded to 1024 is shown in the next unit: "1.0 MiB", never "1024 KiB".
  while (unit < BYTE_UNITS.length - 1 && Math.round(value) >= 1024) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : short(value)} ${BYTE_UNITS[unit]!}`;
}

/** With thousands separators: "1,234,567". The same in every locale, because output is pasted into tickets. */
export function formatCount(count: number): string {
  if (!usable(count)) return "-";
  return Math.round(count)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ",");
}

/** A count with its noun, whose plural has an "s": "1 upload", "1,234 uploads". */
export const formatCountOf = (count: number, noun: string): string =>
  `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;

/** A size or a count with its unit: "1.4 GiB", "1 file", "1,234 rows". */
export function formatAmount(amount: number, unit: Task["unit"]): string {
  if (unit === "bytes") return formatBytes(amount);
  return `${formatCount(amount)} ${Math.round(amount) === 1 ? unit.slice(0, -1) : unit}`;
}

/** "1.2 / 2.7 GiB", "12 / 1,234 files": the unit is shown once if both have the same. */
export function formatShare(done: number, total: number, unit: Task["unit"]): string {
  const [part, partUnit] = formatAmount(done, unit).split(" ") as [string, string?];
  const whole = formatAmount(total, unit);
  if (unit !== "bytes" || whole.endsWith(` ${partUnit ?? ""}`)) return `${part} / ${whole}`;
  return `${part} ${partUnit ?? ""} / ${whole}`;
}

/** "212 MiB/s", "1,234 rows/s", "0.4 files/s"; "-" when unknown. */
export function formatRate(perSecond: number | undefined, unit: Task["unit"]): string {
  if (perSecond === undefined || !usable(perSecond)) return "-";
  if (unit === "bytes") return `${formatBytes(perSecond)}/s`;
  return `${perSecond < 9.95 ? perSecond.toFixed(1) : formatCount(perSecond)} ${unit}/s`;
}

/** "3.4 s", "47 s", "3 min 20 s", "2 h 05 min", "3 d 04 h"; "-" when unknown. Tenths only below ten seconds. */
export function formatDuration(seconds: number | undefined): string {
  if (seconds === undefined || !usable(seconds)) return "-";
  if (seconds < 9.95) return `${String(Math.round(seconds * 10) / 10)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${twoDigits(whole % 60)} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${twoDigits(minutes % 60)} min`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)} d ${twoDigits(hours % 24)} h`;
}

/** A running clock: always minutes and seconds, so that its format doesn't change after a minute. */
export function formatClock(seconds: number): string {
  const whole = usable(seconds) ? Math.floor(seconds) : 0;
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = `${hours > 0 ? twoDigits(minutes) : minutes} min ${twoDigits(whole % 60)} s`;
  return hours > 0 ? `${hours} h ${rest}` : rest;
}

/** Whole percent, rounded down: 100 means complete. Undefined when the total is unknown or was exceeded. */
export function percentOf(done: number, total: number | undefined): number | undefined {
  if (total === undefined || !usable(total) || !usable(done) || done > total) return undefined;
  return total === 0 ? 100 : Math.floor((done / total) * 100);
}

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

const usable = (value: number) => Number.isFinite(value) && value >= 0;
const twoDigits = (value: number) => value.toString().padStart(2, "0");
const short = (value: number) => (value < 99.95 ? value.toFixed(1) : Math.round(value).toString());

/** A mode of a file as chmod takes it: 0640. */
export const formatMode = (mode: number): string => `0${mode.toString(8)}`;
