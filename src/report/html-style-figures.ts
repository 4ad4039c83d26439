/** How bars, stages, columns over time and the time line of a move look. */
export const FIGURES_STYLE = `
.heading { display: flex; flex-wrap: wrap; gap: 0.1rem 1rem; align-items: baseline; justify-content: space-between; margin-bottom: 0.9rem; }
.heading p { color: var(--quiet); font-size: 0.9rem; font-variant-numeric: tabular-nums; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.25rem; }
.figure { min-width: 0; padding: 1.25rem 1.4rem 1.4rem; background: var(--card); border: 1px solid var(--line); border-radius: 0.75rem; container-type: inline-size; }
.text { color: var(--quiet); font-variant-numeric: tabular-nums; }
.remark { margin-top: 1rem; max-width: 44rem; color: var(--quiet); font-size: 0.875rem; line-height: 1.45; }
.fill, .track, .timeline, .timeline span, .stack span, .swatch { forced-color-adjust: none; }

.bars { display: grid; grid-template-columns: fit-content(21rem) minmax(6rem, 1fr) fit-content(14rem); gap: 0.55rem 1.25rem; }
.bars > div, .bars dd { display: grid; grid-template-columns: subgrid; align-items: center; }
.bars > div { grid-column: 1 / -1; }
.bars dt { font-size: 0.95rem; line-height: 1.35; }
.bars dd { grid-column: 2 / -1; }
.bars .text { order: 1; text-align: right; font-size: 0.9rem; line-height: 1.35; }
.track { display: block; height: 0.75rem; border-radius: 0.2rem; background: var(--track); overflow: hidden; }
.fill { display: block; height: 100%; background: var(--accent); border-radius: 0.2rem; }
.some { min-width: 3px; }
@container (max-width: 36rem) {
  .bars { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0.75rem; }
  .bars > div { display: flex; flex-wrap: wrap; gap: 0.3rem 1rem; align-items: baseline; justify-content: space-between; }
  .bars dd { display: contents; }
  .bars dt, .bars .text { max-width: 100%; }
  .bars .text { order: 0; text-align: left; }
  .bars .track { flex: 0 0 100%; order: 1; height: 0.5rem; }
}

.timeline { display: flex; gap: 2px; height: 2.25rem; border-radius: 0.35rem; overflow: hidden; background: var(--track); }
.timeline span { display: grid; place-items: center; flex: 0 1 0; min-width: 3px; overflow: hidden; color: #fff; font-size: 0.85rem; font-weight: 600; }
.legend { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 0.5rem 2rem; margin-top: 1.1rem; }
.legend li { display: grid; grid-template-columns: auto minmax(0, 1fr) auto; gap: 0.65rem; align-items: baseline; font-size: 0.95rem; line-height: 1.35; }
.swatch { display: grid; place-items: center; min-width: 1.35rem; height: 1.35rem; padding: 0 0.2rem; border-radius: 0.3rem; color: #fff; font-size: 0.78rem; font-weight: 600; line-height: 1; }
.hue-0 { background: #3b6ea5; } .hue-1 { background: #9a5f14; } .hue-2 { background: #3a7d58; } .hue-3 { background: #8a5a9e; }
.hue-4 { background: #b04a42; } .hue-5 { background: #2f7884; } .hue-6 { background: #6d6d28; } .hue-7 { background: #666b73; }
.before .hue-0, .before .hue-2, .before .hue-4, .before .hue-6 { background: #5b636b; }
.before .hue-1, .before .hue-3, .before .hue-5, .before .hue-7 { background: #6f767e; }
.before .timeline { height: 1.25rem; }
.before .timeline span { font-size: 0.75rem; }
.before h3, .during h3 { margin-bottom: 0.6rem; }
.before h3 { color: var(--quiet); font-weight: 550; }
.before + .during { margin-top: 1.6rem; }

.series { display: flex; flex-wrap: wrap; gap: 0.2rem 1.25rem; color: var(--quiet); font-size: 0.9rem; }
.series li { display: flex; gap: 0.5rem; align-items: center; }
.series .swatch { min-width: 0.85rem; height: 0.85rem; padding: 0; border-radius: 0.2rem; }
.series-0 { background: var(--accent); }
.series-1 { background: var(--accent-soft); }
.chart { display: grid; column-gap: 2px; row-gap: 0.4rem; padding-top: 0.25rem; }
.chart.roomy { column-gap: 0.75rem; }
.column { grid-row: 1; position: relative; display: flex; flex-direction: column; justify-content: flex-end; align-items: center; min-width: 0; padding-top: 1.4rem; border-bottom: 1px solid var(--quiet); }
.stack { display: flex; flex-direction: column; gap: 1px; justify-content: flex-end; width: 100%; max-width: 4rem; height: calc(var(--share) * 10rem); }
.stack span { flex: 0 1 0; }
.stack .some { min-height: 2px; }
.stack span:first-child { border-radius: 2px 2px 0 0; }
.value { display: none; margin-bottom: 0.2rem; color: var(--quiet); font-size: 0.8rem; line-height: 1.2; text-align: center; font-variant-numeric: tabular-nums; }
.tallest .value { display: block; width: max-content; color: var(--ink); font-weight: 550; }
.tallest.first { align-items: flex-start; }
.tallest.last { align-items: flex-end; }
.tick { grid-row: 2; min-width: 0; color: var(--quiet); font-size: 0.78rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tick.wide { display: none; }
.tick.centred { text-align: center; }
.tick.spread { padding-left: 0.3rem; border-left: 1px solid var(--line); }
@container (min-width: 44rem) {
  .tick.narrow { display: none; }
  .tick.wide { display: block; }
  .chart { column-gap: 4px; }
  .roomy .value { display: block; width: auto; max-width: 100%; }
  .roomy .tallest { align-items: center; }
}
.numbers { margin-top: 1rem; }
.numbers summary { color: var(--quiet); font-size: 0.9rem; }
table { width: 100%; margin-top: 0.6rem; border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.75rem 0.3rem 0; border-top: 1px solid var(--line); text-align: right; vertical-align: baseline; font-weight: 400; }
thead th, thead td { border-top: 0; color: var(--quiet); }
th[scope="row"] { text-align: left; }
th:last-child, td:last-child { padding-right: 0; }

.moments { --when: 9.5rem; }
.agenda .remark { margin-top: -0.5rem; }
.remark + .remark.on-screen { margin-top: 0.2rem; }
.remark + .moments { margin-top: 1.4rem; }
.moment { position: relative; display: grid; grid-template-columns: var(--when) minmax(0, 1fr); gap: 0 2.75rem; padding-bottom: 1.75rem; }
.moment > div { grid-column: 2; min-width: 0; }
.moment:last-child { padding-bottom: 0; }
.moment::before { content: ""; position: absolute; left: calc(var(--when) + 1.3rem); top: 0.7rem; bottom: -0.7rem; width: 2px; background: var(--line); }
.moment:last-child::before { display: none; }
.moment::after { content: ""; position: absolute; left: calc(var(--when) + 1.375rem - 0.4rem); top: 0.32rem; width: 0.8rem; height: 0.8rem; border-radius: 50%; border: 2px solid var(--quiet); background: var(--paper); }
.moment.now { --tone: var(--note); --soft: var(--note-soft); }
.moment.outage { --tone: var(--warning); --soft: var(--warning-soft); }
.moment.no-return { --tone: var(--blocker); --soft: var(--blocker-soft); }
.moment.now::after, .moment.outage::after, .moment.no-return::after { border-color: var(--tone); background: var(--tone); }
.moment.no-return::after { border-radius: 0.15rem; transform: rotate(45deg); }
.moment.outage::before { width: 4px; margin-left: -1px; background: var(--tone); }
.moment h3 { font-size: 1rem; line-height: 1.45; }
.moment p { line-height: 1.5; }
.when { grid-column: 1; color: var(--quiet); font-size: 0.9rem; text-align: right; font-variant-numeric: tabular-nums; }
.where { margin-top: 0.5rem; color: var(--quiet); font-size: 0.875rem; }
.chip { display: inline-block; margin-left: 0.35rem; padding: 0.05rem 0.6rem; border-radius: 1rem; background: var(--soft); color: var(--tone); font-size: 0.8rem; font-weight: 600; line-height: 1.5; }
.no-return .chip { background: var(--tone); color: var(--card); }
pre {
  margin: 0.5rem 0 0; padding: 0.6rem 0.8rem; background: var(--card); border: 1px solid var(--line); border-radius: 0.45rem;
  white-space: pre-wrap; overflow-wrap: anywhere; user-select: all; -webkit-user-select: all;
}
pre, code { font: 0.85rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
pre span { display: inline-block; max-width: 100%; }
@media (max-width: 40rem) {
  .figure { padding: 1rem; }
  .moments { --when: -0.9rem; }
  .moment { display: block; padding-left: 1.75rem; }
  .when { text-align: left; }
}
`;
