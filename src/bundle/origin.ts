import type { Finding } from "../report/finding.ts";
import type { Manifest } from "./manifest.ts";

/**
 * A passphrase that opens a bundle proves that its sender knew it. With a public key anybody can encrypt: the origin of
 * such a bundle is proven only by comparing the hash of its inventory, which contains all other hashes.
 */
export function originFindings({ recipients, inventory }: Manifest): Finding[] {
  if (!recipients) return [];
  return [
    {
      id: "origin-unproven",
      level: "note",
      sentence:
        "anybody with the recipient's public key could have made this bundle: its origin is not proven",
      evidence: [`SHA-256 of ${inventory.name}: ${inventory.sha256}`],
      hint: "compare this hash with the one that synlift export printed, through a channel you trust",
    },
  ];
}

/** The lines that export prints for this comparison. */
export const describeOrigin = ({ recipients, inventory }: Manifest): string[] =>
  recipients
    ? [
        `only ${recipients.join(" or ")} can open it; SHA-256 of ${inventory.name}, to be compared on the new host: ${inventory.sha256}`,
      ]
    : [];
