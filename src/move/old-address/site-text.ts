import type { SiteResult } from "./site.ts";

/** For scripts. */
export const siteDetails = ({ kind, title, path, text, install }: SiteResult) => ({
  kind,
  program: title,
  path: path ?? null,
  text,
  install: [...install],
});

/** For people: the file itself where it is only shown, then how it is installed. */
export function siteLines({ kind, text, path, install }: SiteResult): string[] {
  const steps = install.map((line) => `  ${line}`);
  switch (kind) {
    case "shown":
      return ["", ...text.trimEnd().split("\n"), "", "to install it (--out writes it to a file):", ...steps];
    case "dry-run":
      return ["", `${path!} would be written:`, "", ...text.trimEnd().split("\n"), "", "then:", ...steps];
    case "written":
      return ["", `written: ${path!}`, "it has no effect until it is installed:", ...steps];
  }
}
