import type { Finding } from "../../src/report/finding.ts";

export const FINDINGS: readonly Finding[] = [
  {
    id: "media-unknown-files",
    level: "warning",
    sentence:
      "3 files below /var/lib/server/media_store are not known to the database and would be carried along for nothing",
    evidence: [
      "/var/lib/server/media_store/local_content/aa/bb/cccccccccccccccccccc",
      "/var/lib/server/media_store/local_content/aa/bb/dddddddddddddddddddd and a remark that is long enough to be wrapped",
      "/var/lib/server/media_store/local_content/日本語/ファイル",
    ],
    hint: "look at them, then remove them or accept this with --accept media-unknown-files",
  },
  { id: "config-readable", level: "ok", sentence: "/etc/server/server.yaml can be read" },
  {
    id: "key-missing",
    level: "blocker",
    sentence: "no signing key at /etc/server/example.org.signing.key",
    hint: "check signing_key_path in /etc/server/server.yaml",
  },
  {
    id: "old-program",
    level: "note",
    sentence: "gpg is version 2.2.40",
    evidence: Array.from({ length: 12 }, (_, index) => `line ${index + 1} of what it said`),
  },
  { id: "space-enough", level: "ok", sentence: "/var/backups has 212 GiB free, 14.3 GiB are needed" },
];

/** Strings that try to get out of wherever they are put. */
export const HOSTILE: Finding = {
  id: "hostile",
  level: "warning",
  sentence: `<script>alert("1")</script> & 'quotes' \u001b[2J and photo_\u202egpj.exe`,
  evidence: [`"><img src=x onerror=alert(1)>`, "</details></body>", "line\nbreak", "שלום עולם.txt"],
  hint: "`${process}` <!-- --> ]]> \u0007",
};
