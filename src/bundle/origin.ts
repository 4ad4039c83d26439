import type { Finding } from "../report/finding.ts";
import type { Manifest } from "./manifest.ts";

/**
 * Who has a passphrase has proven that it is the one they were given. To a public key everybody can encrypt: nothing
 * in such a bundle says who made it, but the hash of its inventory, which holds all other hashes.
 */
export function unprovenOrigin({ recipients, inventory }: Manifest): Finding[] {
  if (!recipients) return [];
  return [
    {
      id: "origin-unproven",
      level: "note",
      sentence:
        "whoever has the recipient's public key could have made this bundle: nothing in it proves who did",
      evidence: [`SHA-256 of ${inventory.name}: ${inventory.sha256}`],
      hint: "compare it with what export printed, by a road you trust",
    },
  ];
}

/** What export says, for whoever compares. */
export const originLines = ({ recipients, inventory }: Manifest): string[] =>
  recipients
    ? [
        `only ${recipients.join(" or ")} can open it; SHA-256 of ${inventory.name}, to be compared at the other end: ${inventory.sha256}`,
      ]
    : [];
