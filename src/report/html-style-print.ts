/** On paper: black on white, everything open, nothing cut in two. Comes last, so that it overrules. */
export const PRINT_STYLE = `
@media print {
  :root {
    color-scheme: light;
    --paper: #fff; --card: #fff; --ink: #000; --quiet: #444; --line: #bbb; --track: #e6e6e6; --accent: #3f6f9f; --accent-soft: #8cadcd;
    --ok: #1c6b43; --note: #28598f; --warning: #85560a; --blocker: #a92a22;
    --ok-soft: #fff; --note-soft: #fff; --warning-soft: #fff; --blocker-soft: #fff;
  }
  @page { margin: 16mm 14mm; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  main { display: block; }
  main > * + * { margin-top: 1.5rem; }
  .figures, .group { display: block; }
  .on-screen { display: none; }
  .facts { grid-template-columns: repeat(4, minmax(0, 1fr)); }
  .figure + .figure { margin-top: 1.25rem; }
  .mark, .fill, .track, .timeline, .timeline span, .swatch, .stack span, .chip, .moment::before, .moment::after { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  .verdict, .figure, .chart, .finding, .facts div, pre, tr, .moment { break-inside: avoid; }
  .heading, .agenda .remark, h3, summary, .when, .where { break-after: avoid; }
  details::details-content { content-visibility: visible; display: block; block-size: auto; break-before: avoid; }
  summary { list-style: none; }
  summary::-webkit-details-marker { display: none; }
  .chip { border: 1px solid; }
  pre { user-select: auto; -webkit-user-select: auto; }
  .finding + .finding { margin-top: 0.6rem; }
  details.level .group { border: 0; }
  .finding.ok, .finding.note { margin-top: 0; padding: 0.3rem 0; }
  table { font-size: 8.5pt; line-height: 1.3; }
  th, td { padding-top: 0.12rem; padding-bottom: 0.12rem; }
  .moment { display: block; padding-left: 1.75rem; padding-bottom: 1.1rem; }
  .moments { --when: -0.9rem; }
  .when { text-align: left; }
  p, li { orphans: 3; widows: 3; }
}
`;
