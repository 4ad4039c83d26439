/** The assignments in one section of a unit file, in order. systemd.syntax(7). */
export function assignments(text: string, section: string): [key: string, value: string][] {
  const found: [string, string][] = [];
  let current = "";
  for (const line of logicalLines(text)) {
    const header = /^\[(.*)\]$/.exec(line)?.[1];
    if (header !== undefined) current = header;
    const [key, value] = split(line, "=");
    if (header === undefined && current === section && value !== undefined) found.push([key, value]);
  }
  return found;
}

/** A backslash at the end of a line joins it to the next, comments in between being passed over. */
function logicalLines(text: string): string[] {
  const lines: string[] = [];
  let open: string | undefined;
  for (const raw of text.split(/\r?\n/)) {
    const line = open === undefined ? raw.trim() : raw;
    if (/^\s*[#;]/.test(line)) continue;
    const whole: string = (open ?? "") + line;
    if (whole.endsWith("\\")) open = `${whole.slice(0, -1)} `;
    else {
      if (whole.trim() !== "") lines.push(whole.trim());
      open = undefined;
    }
  }
  if (open !== undefined && open.trim() !== "") lines.push(open.trim());
  return lines;
}

function split(line: string, sign: string): [string, string | undefined] {
  const at = line.indexOf(sign);
  return at === -1 ? [line, undefined] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", s: " ", a: "\x07", b: "\b" };

/** The words of a value: quotes hold a word together, a backslash escapes. systemd.service(5), "Command lines". */
export function words(value: string): string[] {
  const found: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let at = 0; at < value.length; at++) {
    const sign = value[at]!;
    if (sign === "\\" && at + 1 < value.length) {
      const hex = /^x([0-9A-Fa-f]{2})/.exec(value.slice(at + 1))?.[1];
      const next = value[at + 1]!;
      word = (word ?? "") + (hex ? String.fromCharCode(Number.parseInt(hex, 16)) : (ESCAPES[next] ?? next));
      at += hex ? 3 : 1;
    } else if (quote !== "" && sign === quote) quote = "";
    else if (quote === "" && (sign === '"' || sign === "'")) [quote, word] = [sign, word ?? ""];
    else if (quote === "" && /\s/.test(sign)) {
      if (word !== undefined) found.push(word);
      word = undefined;
    } else word = (word ?? "") + sign;
  }
  return word === undefined ? found : [...found, word];
}

/** `Environment=` as variables. */
export function variables(values: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const value of values) {
    // An empty assignment resets all before it.
    if (value === "") for (const name of Object.keys(found)) Reflect.deleteProperty(found, name);
    for (const word of words(value)) {
      const [name, text] = split(word, "=");
      if (text !== undefined) found[name] = word.slice(word.indexOf("=") + 1);
    }
  }
  return found;
}

/** The content of an `EnvironmentFile=`. systemd.exec(5). */
export function environmentOf(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of logicalLines(text)) {
    const [name, value] = split(line, "=");
    if (value !== undefined && /^\w+$/.test(name)) found[name] = words(value).join(" ");
  }
  return found;
}

/** `${NAME}` within a word, `$NAME` as a word of its own, which may become several or none. */
export function withVariables(
  command: readonly string[],
  environment: Readonly<Record<string, string>>,
): string[] {
  return command.flatMap((word) => {
    const alone = /^\$(\w+)$/.exec(word)?.[1];
    if (alone !== undefined) return words(environment[alone] ?? "");
    return [
      word.replaceAll(/\$\$|\$\{(\w+)\}/g, (_, name?: string) =>
        name === undefined ? "$" : (environment[name] ?? ""),
      ),
    ];
  });
}

/** Expands specifiers such as `%i`, systemd.unit(5), "Specifiers"; those that depend on more than the name stay. */
export function withSpecifiers(text: string, unit: string): string {
  const stem = unit.replace(/\.service$/, "");
  const [prefix, instance = ""] = stem.split(/@(.*)/s) as [string, string?];
  const plain = (name: string) =>
    name.replaceAll("-", "/").replaceAll(/\\x([0-9a-f]{2})/g, (_, code: string) => {
      return String.fromCharCode(Number.parseInt(code, 16));
    });
  const meanings: Readonly<Record<string, string>> = {
    "%": "%",
    i: instance,
    I: plain(instance),
    n: unit,
    N: stem,
    p: prefix,
    P: plain(prefix),
    j: prefix.slice(prefix.lastIndexOf("-") + 1),
    S: "/var/lib",
    E: "/etc",
    t: "/run",
    C: "/var/cache",
    L: "/var/log",
    T: "/tmp",
    V: "/var/tmp",
  };
  return text.replaceAll(/%(.)/g, (whole, letter: string) => meanings[letter] ?? whole);
}
