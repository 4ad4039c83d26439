import type { Page } from "../../src/report/page.ts";
import { FINDINGS, HOSTILE } from "./samples.ts";

/** A page with something of everything. */
export const PAGE: Page = {
  title: "The move of example.org",
  lead: "What was looked at before anything was touched, how long people will be without the server, and what travels.",
  verdict: {
    level: "warning",
    sentence: "the move can begin; one warning has to be accepted by its id first",
  },
  facts: [
    { label: "From", value: "old.example.org" },
    { label: "To", value: "new.example.net" },
    { label: "Predicted outage", value: "4 min 02 s" },
    { label: "Measured in the rehearsal", value: "3 min 51 s" },
    { label: "Database", value: "643 MiB, PostgreSQL 15.8" },
    { label: "Files", value: "12,482 files, 1.8 GiB" },
    { label: "People", value: "214" },
    { label: "Bundle", value: "/var/backups/migration/example.org-2026-09-01T02-30-00Z" },
  ],
  findings: FINDINGS.filter(({ level }) => level !== "blocker"),
  bars: [
    {
      title: "What travels",
      rows: [
        { label: "customer_media_export.tar.gz.gpg", value: 1_932_735_283, text: "1.8 GiB" },
        { label: "customer_db_export.sql.gz.gpg", value: 180_900_000, text: "173 MiB" },
        { label: "customer_backup_media_export.tar.gz.gpg", value: 21_000_000, text: "20.0 MiB" },
        { label: "customer_config_export.tar.gz.gpg", value: 8_200, text: "8.0 KiB" },
        { label: "nothing at all", value: 0, text: "0 B" },
      ],
    },
    {
      title: "The largest tables",
      rows: [
        { label: "events", value: 540_444, text: "540,444 rows" },
        { label: "state_groups_state", value: 1_234_567, text: "1,234,567 rows" },
        { label: "device_lists_changes_in_room", value: 88_120, text: "88,120 rows" },
      ],
    },
  ],
  timeline: {
    title: "The outage, stage by stage",
    stages: [
      { label: "stopping and fencing", seconds: 6.4 },
      { label: "dumping the database", seconds: 13 },
      { label: "packing what came since", seconds: 3.2 },
      { label: "sending", seconds: 121 },
      { label: "restoring", seconds: 74 },
      { label: "gates", seconds: 21 },
      { label: "starting", seconds: 0.4 },
    ],
  },
  foot: "Made on 1 September 2026 at 02:30 UTC. This page holds no secrets and needs no network.",
};

/** Every text of it tries to get out, or is far too long. */
export const HOSTILE_PAGE: Page = {
  title: `</title><script>alert("title")</script>`,
  lead: `<b onmouseover='alert(1)'>${"long".repeat(60)}`,
  verdict: { level: "blocker", sentence: `</p></section><script>alert(1)</script> \u202egnp.exe` },
  facts: [
    { label: `" onclick="alert(1)`, value: "x".repeat(200) },
    { label: "שם", value: "קובץ עם שם עברי (1).txt" },
  ],
  findings: [HOSTILE, { ...HOSTILE, id: `<i>`, level: "blocker" }, { ...HOSTILE, level: "ok" }],
  bars: [
    {
      title: "</style><style>*{display:none}</style>",
      rows: [
        { label: "/var/lib/".repeat(30), value: NaN, text: "<u>" },
        { label: "ملف بالعربية.sql", value: Infinity, text: `"'&` },
        { label: "negative", value: -5, text: "-5" },
        { label: "one", value: 1, text: "a long text that says the value in many, many words" },
      ],
    },
  ],
  timeline: {
    title: "<timeline>",
    stages: [
      { label: `"><img src=x>`, seconds: NaN },
      { label: "y".repeat(150), seconds: 3 },
    ],
  },
  foot: "<!-- -->",
};
