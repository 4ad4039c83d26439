import type { Finding } from "../../report/finding.ts";
import { formatBytes, formatDuration } from "../../report/units.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { FetchResult } from "./fetch.ts";
import type { SendResult } from "./send.ts";

const bytesOf = (files: readonly { readonly size: number }[]) =>
  files.reduce((sum, { size }) => sum + size, 0);

const count = (number: number) => `${number} file${number === 1 ? "" : "s"}`;

/** The findings of a send, with what was proven and how. */
export function sendFindings({ kind, proofs, files, bytes, address, findings }: SendResult): Finding[] {
  if (kind === "dry-run") return [...findings];
  const { "hashed-there": there = 0, "read-back": back = 0 } = proofs;
  return [
    {
      id: "arrived",
      level: "ok",
      sentence: `all ${count(files)} of the bundle, ${formatBytes(bytes)}, are at ${address}, and size and SHA-256 of each were compared there`,
      evidence: [
        ...(there === 0 ? [] : [`${count(there)}: hashed by a program at the other place`]),
        ...(back === 0 ? [] : [`${count(back)}: read back from the other place and hashed here`]),
      ],
    },
    ...findings,
  ];
}

/** For scripts: sizes in bytes, times in seconds. */
export function sendDetails(result: SendResult) {
  const { kind, address, manifest, files, bytes, due, seconds, proofs } = result;
  return {
    destination: address,
    bundle: manifest.id,
    dryRun: kind === "dry-run",
    files,
    bytes,
    filesDone: due.length,
    bytesDone: bytesOf(due),
    seconds,
    hashedThere: proofs["hashed-there"] ?? 0,
    readBack: proofs["read-back"] ?? 0,
  };
}

export function describeSend({ kind, address, files, bytes, due, seconds }: SendResult): string[] {
  if (kind === "dry-run")
    return [
      `would be sent to ${address}: ${count(due.length)} of ${files}, ${formatBytes(bytesOf(due))} of ${formatBytes(bytes)}`,
      "dry run: nothing was sent",
    ];
  if (due.length === 0) return [`nothing was left to send to ${address}`];
  return [
    `this run: ${count(due.length)}, ${formatBytes(bytesOf(due))} in ${formatDuration(seconds)}`,
    "on the other host: synlift verify, then synlift restore; to fetch it from there instead: synlift fetch",
  ];
}

/** For scripts: sizes in bytes, times in seconds. */
export function fetchDetails(result: FetchResult) {
  const { kind, address, folder, manifest, files, bytes, due, seconds } = result;
  return {
    source: address,
    folder,
    bundle: manifest.id,
    dryRun: kind === "dry-run",
    files,
    bytes,
    filesDone: due.length,
    bytesDone: bytesOf(due),
    seconds,
  };
}

export function fetchFindings({ kind, files, bytes, folder, findings }: FetchResult): Finding[] {
  if (kind === "dry-run") return [...findings];
  return [
    {
      id: "arrived",
      level: "ok",
      sentence: `all ${count(files)} that the manifest lists, ${formatBytes(bytes)}, are in ${folder} with the size and the SHA-256 that it gives`,
    },
    ...findings,
  ];
}

export function describeFetch({ kind, address, folder, files, bytes, due, seconds }: FetchResult): string[] {
  if (kind === "dry-run")
    return [
      `would be fetched from ${address}: ${count(due.length)} of ${files}, ${formatBytes(bytesOf(due))} of ${formatBytes(bytes)}`,
      `dry run: nothing was written to ${folder}`,
    ];
  return [
    `this run: ${count(due.length)}, ${formatBytes(bytesOf(due))} in ${formatDuration(seconds)}`,
    `whether it is the bundle that was made, only its key can tell: synlift verify ${quoteShellWord(folder)}`,
  ];
}
