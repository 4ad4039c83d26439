import type { ReportResult } from "./run.ts";

/** What was written, and what to do with it. */
export function describeReport({ file, bytes, sections, redacted, secrets }: ReportResult): string[] {
  return [
    `the report: ${file}, ${Math.ceil(bytes / 1024)} KiB of text in ${sections.length} sections; ${secrets === 1 ? "1 secret" : `${secrets} secrets`} met and replaced`,
    redacted
      ? "names and addresses are replaced. Read it before you send it"
      : "names and addresses are in it: for others, make it with --redact",
  ];
}
