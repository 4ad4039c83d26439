import type { Finding } from "../../src/report/finding.ts";
import type { Columns, Page } from "../../src/report/page.ts";
import { formatBytes } from "../../src/report/units.ts";

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

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

/** What a look at a server of middling size says: one thing stands in the way, three want care. */
export const PLAN_PAGE: Page = {
  title: "The move of example.org",
  lead: "Looked at on Tuesday 24 November 2026, 21:40 UTC, without changing anything: what stands in the way, how long people will be without their server, and what to type when.",
  verdict: {
    level: "blocker",
    sentence: "one thing has to be put right first; after that, about 9 minutes without the server",
  },
  facts: [
    { label: "Outage, predicted", value: "9 min 02 s" },
    { label: "Before it, while people write on", value: "1 h 21 min" },
    { label: "Database", value: "1.1 GiB, PostgreSQL 15.8" },
    { label: "Media", value: "212,408 files, 40.2 GiB" },
    { label: "People", value: "214, of whom 87 were here this month" },
    { label: "Earliest safe cut-over", value: "Thursday 26 November, 22:00 UTC" },
    { label: "From", value: "Synapse 1.142.0 on old.example.org" },
    { label: "To", value: "Synapse 1.163.2 at https://new.example.net" },
  ],
  findings: [
    {
      id: "config-pepper-lost",
      level: "blocker",
      sentence:
        "password_config.pepper of /etc/matrix-synapse/homeserver.yaml is thrown away by /etc/matrix-synapse/conf.d/90-passwords.yaml: on the new host nobody could log in with a password",
      evidence: [
        "/etc/matrix-synapse/homeserver.yaml: password_config has enabled, pepper",
        "/etc/matrix-synapse/conf.d/90-passwords.yaml: password_config has enabled, policy",
      ],
      hint: "copy the pepper into the password_config of /etc/matrix-synapse/conf.d/90-passwords.yaml, restart the server, and see that a password still works",
    },
    {
      id: "dns-ttl-long",
      level: "warning",
      sentence:
        "the address of matrix.example.org may be remembered for 24 hours (TTL 86,400 s of its A record)",
      evidence: [
        "ns1.example.net: matrix.example.org. 86400 IN A 203.0.113.17",
        "ns2.example.net: matrix.example.org. 86400 IN A 203.0.113.17",
      ],
      hint: "lower the TTL to 300 s today; 48 hours later a cut-over is safe",
    },
    {
      id: "media-rows-without-file",
      level: "warning",
      sentence:
        "31 of 148,201 local media have no file below /var/lib/matrix-synapse/media: they are lost already, and stay so",
      evidence: [
        "local_content/GI/xa/PbLTcXBbsVxjvDIfKwZW, uploaded 2021-03-02",
        "local_content/qE/bW/nUbRvyKwHKbEFKNTvmDQ, uploaded 2021-03-02",
        "local_content/zR/Yk/cCqjeBEsxUNwEppKhXvs, uploaded 2021-03-04",
      ],
      hint: "look in older backups; or take it on with --accept media-rows-without-file",
    },
    {
      id: "shell-not-kept",
      level: "warning",
      sentence: "this shell ends when the SSH connection does, and a move would end with it",
      hint: "start again inside tmux: tmux new -s move",
    },
    { id: "gpg-old", level: "note", sentence: "gpg is version 2.2.40; it will do" },
    {
      id: "database-background-updates",
      level: "note",
      sentence: "2 background updates are under way in the database; they go on at the new host",
      evidence: ["event_push_summary_unique_index2", "delete_old_current_state_events"],
    },
    {
      id: "media-remote-left-behind",
      level: "note",
      sentence: "64,207 files of other servers (18.9 GiB) stay behind; they are fetched again when asked for",
    },
    { id: "config-readable", level: "ok", sentence: "/etc/matrix-synapse/homeserver.yaml can be read" },
    {
      id: "signing-key-published",
      level: "ok",
      sentence: "the signing key ed25519:a_XVbR is the one that example.org publishes",
    },
    {
      id: "version-fits",
      level: "ok",
      sentence: "Synapse 1.163.2 starts on this database (schema 92, needs 85 or newer)",
    },
    { id: "database-encoding", level: "ok", sentence: "the database has encoding UTF8 and collation C" },
    {
      id: "database-sequences",
      level: "ok",
      sentence: "23 sequences are not behind what they count",
    },
    { id: "space-enough", level: "ok", sentence: "/var/backups has 112 GiB free, 22.6 GiB are needed" },
    { id: "clock", level: "ok", sentence: "the clock is right to within a second" },
    { id: "federation-target", level: "ok", sentence: "https://new.example.net answers, as Synapse 1.163.2" },
    {
      id: "well-known-server",
      level: "ok",
      sentence:
        "https://example.org/.well-known/matrix/server leads to matrix.example.org:443, and may be remembered for an hour",
    },
  ],
  timeline: {
    title: "How long it takes",
    note: "Measured on this machine with 3 s each of dumping, packing and encrypting, assuming 100 Mbit/s between the hosts. What is not known: how fast the new host's disk is; the rehearsal will tell.",
    before: [
      { label: "packing media", seconds: 1_260 },
      { label: "sending media", seconds: 3_060 },
      { label: "unpacking media", seconds: 540 },
    ],
    stages: [
      { label: "stopping and fencing the old server", seconds: 12 },
      { label: "dumping the database", seconds: 41 },
      { label: "packing media that came since", seconds: 9 },
      { label: "sending the database", seconds: 34 },
      { label: "restoring the database", seconds: 338 },
      { label: "the gates", seconds: 74 },
      { label: "starting the new server", seconds: 34 },
    ],
  },
  runbook: {
    title: "The move, step by step",
    note: "Until the point of no return, synlift rollback brings the old server back as it was.",
    steps: [
      {
        when: "today",
        title: "Put the blocker right",
        text: "Then look again: this page should say that the move can begin.",
        where: "on the old host",
        commands: [
          "synlift plan --config /etc/matrix-synapse/homeserver.yaml --config /etc/matrix-synapse/conf.d --target https://new.example.net --html /root/plan.html",
        ],
        tone: "now",
      },
      {
        when: "today",
        title: "Lower the TTL of matrix.example.org to 300 s",
        text: "At whoever keeps the zone example.net. What was given out before is remembered for up to a day.",
        tone: "now",
      },
      {
        when: "Wed 25 Nov",
        title: "Practise",
        text: "The server keeps running. It writes a bundle and tells how long the real one will take.",
        where: "on the old host",
        commands: [
          "synlift export --rehearse --config /etc/matrix-synapse/homeserver.yaml --bundle /var/backups/example.org-rehearsal --recipient /root/new-host.asc",
        ],
        tone: "now",
      },
      {
        when: "Thu 26 Nov, 22:00 UTC",
        title: "Pack",
        text: "Media first, while people still write. Then it stops and fences the old server: from here people are without it.",
        where: "on the old host, inside tmux",
        commands: [
          "tmux new -s move",
          "synlift export --config /etc/matrix-synapse/homeserver.yaml \\\n  --bundle /var/backups/example.org \\\n  --recipient /root/new-host.asc",
        ],
        tone: "outage",
      },
      {
        when: "about 22:25",
        title: "Carry",
        where: "on the old host",
        commands: ["synlift send /var/backups/example.org root@new.example.net:/var/backups/example.org"],
        tone: "outage",
      },
      {
        when: "about 22:26",
        title: "Check the box, and unpack it",
        text: "The new server stays fenced: nobody can reach it yet.",
        where: "on the new host",
        commands: [
          "synlift verify /var/backups/example.org --passphrase-file /root/passphrase",
          "synlift restore /var/backups/example.org --passphrase-file /root/passphrase --config-dir /etc/matrix-synapse",
        ],
        tone: "outage",
      },
      {
        when: "about 22:32",
        title: "Prove, then open",
        text: "Every gate runs first. Once the new server has been started the old one must never be started again: other servers would see two of the same name.",
        where: "on the new host",
        commands: ["synlift open /var/backups/example.org --passphrase-file /root/passphrase"],
        tone: "no-return",
      },
      {
        when: "about 22:34",
        title: "Move the address",
        text: "Change the A record of matrix.example.org to 198.51.100.24. Until everybody has seen it, the old host forwards to the new one.",
        where: "on the old host",
        commands: ["synlift forward --to https://new.example.net --proxy nginx --out /etc/nginx/conf.d"],
      },
      {
        when: "Fri 27 Nov",
        title: "Tidy",
        text: "A dry run first; --yes removes the bundle and its secrets.",
        where: "on both hosts",
        commands: ["synlift cleanup /var/backups/example.org"],
      },
    ],
  },
  bars: [
    {
      title: "The largest tables",
      note: "With their indexes. state_groups_state can be made smaller with compress_state, here by about a third.",
      rows: [
        { label: "state_groups_state", value: 412 * MIB, text: "412 MiB" },
        { label: "event_json", value: 233 * MIB, text: "233 MiB" },
        { label: "events", value: 118 * MIB, text: "118 MiB" },
        { label: "event_auth", value: 74 * MIB, text: "74.2 MiB" },
        { label: "device_lists_changes_in_room", value: 41 * MIB, text: "41.0 MiB" },
        { label: "all others", value: 248 * MIB, text: "248 MiB" },
      ],
    },
    {
      title: "Media by kind",
      rows: [
        { label: "pictures", value: 14.8 * GIB, text: "14.8 GiB, 101,202 files" },
        { label: "videos", value: 4.1 * GIB, text: "4.1 GiB, 2,120 files" },
        { label: "voice and sound", value: 1.2 * GIB, text: "1.2 GiB, 9,871 files" },
        { label: "other files", value: 0.9 * GIB, text: "0.9 GiB, 12,340 files" },
        { label: "thumbnails", value: 0.3 * GIB, text: "312 MiB, 22,668 files" },
        { label: "of other servers (stay behind)", value: 18.9 * GIB, text: "18.9 GiB, 64,207 files" },
      ],
    },
  ],
  columns: [mediaByAge(24)],
  footer: "synlift 0.2.0, 2026-11-24 21:40:12 UTC. This page holds no secrets and needs no network.",
};

/** So many columns, one a month, backwards from November 2026. */
export function mediaByAge(count: number): Columns {
  const columns = Array.from({ length: count }, (_, index) => {
    const month = new Date(Date.UTC(2026, 10 - (count - 1 - index), 1)).toISOString().slice(0, 7);
    const wave = 1 + Math.sin(index * 1.7) * 0.45 + Math.sin(index * 0.6) * 0.25;
    const local = Math.round(wave * (0.3 + index / 30) * GIB);
    const remote = index < count - 9 ? 0 : Math.round((2 - wave) * (index / 14) * GIB);
    return {
      label: month,
      values: [
        { value: local, text: formatBytes(local) },
        { value: remote, text: formatBytes(remote) },
      ],
      total: formatBytes(local + remote),
    };
  });
  return {
    title: "Media by age",
    note: "By the month in which it came.",
    series: ["of people here", "of other servers"],
    columns,
  };
}
