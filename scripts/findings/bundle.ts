import type { FindingArea } from "./meaning.ts";

const COPY =
  "Copy the file again from the host that made the bundle. If it is damaged there too, run the export again.";

export const BUNDLE: FindingArea = {
  page: "bundle",
  title: "The bundle: export, send, fetch, verify",
  about: "What is said of the encrypted folder, by whichever command looks at it.",
  findings: {
    recipient: { means: "Who can open the bundle.", known: "From the public key given." },
    "recipient-expiring": {
      means:
        "A recipient's key expires within 14 days. The bundle stays readable, but an export that runs again after that day fails.",
      known: "From the key.",
      clears: "Ask for a renewed key. `export` goes on.",
    },
    "already-sealed": {
      means: "The bundle was sealed for its recipients by an earlier run, is intact, and was not changed.",
      known: "Sizes and hashes of all parts are compared with the manifest.",
      clears: "To pack again, choose another folder or remove this one.",
    },
    artifact: {
      means: "A part of the bundle is complete and intact.",
      known: "Sizes and hashes are compared with the manifest; the key is not needed.",
    },
    "artifact-hash": {
      means: "The files of an artifact are intact, but together they do not match the hash in the manifest.",
      known: "The artifact is hashed as a whole.",
      clears: COPY,
    },
    "part-missing": {
      means: "A file of the bundle is missing.",
      known: "The manifest lists it.",
      clears: COPY,
    },
    "part-kind": {
      means: "A name of the bundle is a folder, a link or a device, not a file.",
      known: "It is looked at without following links.",
      clears: COPY,
    },
    "part-size": {
      means:
        "A file of the bundle has another size than in the manifest, often because copying it was interrupted.",
      known: "Both sizes are compared.",
      clears: COPY,
    },
    "part-hash": {
      means: "A file of the bundle is damaged.",
      known: "Its SHA-256 is compared with the manifest.",
      clears: COPY,
    },
    "part-unexpected": {
      means:
        "A file is named like a part of this bundle, but is not one. Joining the parts by hand would take it too.",
      known: "The folder, or the place that it was sent to, is listed.",
      clears: "Remove it before the parts are joined by hand; synlift itself does not read it.",
    },
    "by-hand": {
      means:
        "Whether SHA256SUMS and OPENING.txt match the bundle. Whoever opens it with standard programs relies on them.",
      known: "Both are compared with the bundle; with its key, OPENING.txt also with what the export wrote.",
      clears:
        "Copy the file again from the host that made the bundle, and do not open the bundle by hand before.",
    },
    manifest: {
      means: "The manifest matches the encrypted inventory.",
      known: "Both are compared, which takes the key.",
    },
    "manifest-mismatch": {
      means:
        "The manifest, which is not encrypted, differs from the encrypted inventory. Somebody may have changed it.",
      known: "Both are compared, which takes the key.",
      clears: COPY,
    },
    contents: {
      means: "Whether an artifact can be decrypted and decompressed, and its content is what was packed.",
      known: "All of it is read, which takes the key; nothing is written.",
      clears: COPY,
    },
    "key-not-given": {
      means: "Only sizes and hashes were checked, which anyone could have rewritten.",
      known: "Neither passphrase nor secret key was given.",
      clears: "Give the passphrase with `--passphrase-file`, or the secret key with `--gpg-home`.",
    },
    "origin-unproven": {
      means: "The bundle is encrypted to a public key, with which anybody could have made it.",
      known: "From the manifest.",
      clears:
        "Compare the hash in the evidence with the one that `export` printed, through a channel you trust.",
    },
    arrived: {
      means:
        "All files of the bundle are at the other place, and size and SHA-256 of each were compared there.",
      known: "A program there hashed them, or they were read back; the evidence has which.",
    },
    "receipts-not-written": {
      means:
        "It could not be recorded which files arrived, so another run would compare every file there again.",
      known: "Writing into the bundle's folder failed; the sentence has the reason.",
      clears: "Run it as an account that may write into that folder.",
    },
  },
};
