import type { Page } from "../../src/report/page.ts";
import { FINDINGS, HOSTILE, mediaByAge, PLAN_PAGE } from "./samples.ts";

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
  footer: "Made on 1 September 2026 at 02:30 UTC. This page holds no secrets and needs no network.",
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
  footer: "<!-- -->",
};

const { title, lead, verdict, footer } = PLAN_PAGE;

/** Pages at the edges of what a page may have to show, each by a name for it. */
export const EDGES: Readonly<Record<string, Page>> = {
  plan: PLAN_PAGE,
  export: PAGE,
  hostile: {
    ...HOSTILE_PAGE,
    runbook: {
      title: "<ol>",
      note: `<p>${"note".repeat(100)}`,
      steps: [
        {
          when: "w".repeat(80),
          title: "t".repeat(200),
          where: "h".repeat(120),
          text: "</li></ol>",
          commands: [
            `</code></pre><script>alert(1)</script> ${"-x ".repeat(80)}`,
            "c".repeat(500),
            "\u202e\u0000\n".repeat(3),
          ],
          tone: "no-return",
        },
        { title: "" },
      ],
    },
    columns: [
      {
        title: "c".repeat(150),
        note: "n".repeat(300),
        series: ["s".repeat(90), `<td>`],
        columns: Array.from({ length: 24 }, (_, index) => ({
          label: "label".repeat(index),
          values: [
            { value: index % 2 === 0 ? NaN : 1e300, text: "v".repeat(index * 4) },
            { value: -1, text: "-1" },
          ],
          total: "total".repeat(index),
        })),
      },
    ],
  },
  healthy: {
    ...PLAN_PAGE,
    verdict: { level: "ok", sentence: "the move can begin" },
    findings: PLAN_PAGE.findings.filter(({ level }) => level === "ok"),
  },
  "long paths": {
    ...PLAN_PAGE,
    facts: [
      { label: "Bundle", value: `/srv/${"a-very-long-folder_name.d/".repeat(9)}bundle` },
      { label: "Media", value: `/mnt/${"x".repeat(120)}` },
    ],
    findings: PLAN_PAGE.findings.map((finding) => ({
      ...finding,
      sentence: `${finding.sentence}: /var/lib/${"0123456789abcdef".repeat(6)}/${"some-folder/".repeat(8)}`,
      evidence: Array.from(
        { length: 9 },
        (_, index) => `/mnt/${"deep/".repeat(30)}${"f".repeat(90)}.${index}`,
      ),
    })),
    bars: PLAN_PAGE.bars.map((bars) => ({
      ...bars,
      rows: bars.rows.map((row) => ({ ...row, label: `/${row.label.repeat(5)}`, text: row.text.repeat(2) })),
    })),
  },
  "60 findings": {
    ...PLAN_PAGE,
    findings: Array.from(
      { length: 60 },
      (_, index) => PLAN_PAGE.findings[index % PLAN_PAGE.findings.length]!,
    ),
  },
  "one column": { ...PLAN_PAGE, columns: [mediaByAge(1)] },
  "six columns": { ...PLAN_PAGE, columns: [mediaByAge(6)] },
  "thirteen columns": { ...PLAN_PAGE, columns: [mediaByAge(13)] },
  "ages in words": {
    ...PLAN_PAGE,
    columns: [
      {
        title: "Media by age",
        series: ["all"],
        columns: ["this week", "this month", "3 to 6 months", "up to a year", "1 to 2 years", "older"].map(
          (label, index) => ({ label, values: [{ value: 6 - index, text: `${6 - index},123.4 MiB` }] }),
        ),
      },
    ],
  },
  "right to left": {
    title: "המעבר של example.org",
    lead: "مرحبا بكم. هذه الصفحة تقول ما الذي يقف في الطريق.",
    verdict: { level: "warning", sentence: "אפשר להתחיל, בזהירות" },
    facts: [{ label: "מאגר", value: "1.1 GiB" }],
    findings: [{ ...HOSTILE, sentence: "קובץ /etc/שלום/ملف.yaml לא נמצא", hint: "חפשו אותו" }],
    timeline: {
      title: "כמה זמן",
      note: "הערה",
      before: [{ label: "לפני", seconds: 30 }],
      stages: [{ label: "בזמן", seconds: 60 }],
    },
    runbook: {
      title: "צעד אחר צעד",
      steps: [
        { when: "היום", title: "עכשיו", where: "כאן", commands: ["cp /srv/שלום/ملف /tmp"], tone: "now" },
      ],
    },
    bars: [{ title: "טבלאות", rows: [{ label: "أحداث", value: 3, text: "3" }] }],
    columns: [
      {
        title: "גיל",
        series: ["שלנו"],
        columns: ["ינואר", "פברואר"].map((label) => ({ label, values: [{ value: 2, text: "שתיים" }] })),
      },
    ],
    footer: "סוף",
  },
  empty: { title, lead, verdict, facts: [], findings: [], bars: [], footer },
  "nothing in it": {
    ...{ title: "", lead: "", verdict: { level: "note", sentence: "" }, facts: [], findings: [], footer: "" },
    bars: [{ title: "", rows: [] }],
    columns: [{ title: "", series: [], columns: [] }],
    timeline: { title: "", before: [], stages: [] },
    runbook: { title: "", steps: [] },
  },
};
