"""The style of report.html: light and dark, wide and narrow, without script."""

STYLE = """
:root {
  color-scheme: light dark;
  --text: #1f2328; --soft: #59636e; --line: #d1d9e0; --back: #fff; --card: #f6f8fa;
  --accent: #0072B2; --beats: #a83f00; --warning: #fff1d6; --heat: 213, 94, 0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --text: #e6edf3; --soft: #9aa4af; --line: #30363d; --back: #0d1117;
    --card: #161b22; --accent: #56B4E9; --beats: #ffab5e; --warning: #3a2c0c;
    --heat: 230, 159, 0;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
main { max-width: 68rem; margin: 0 auto; padding: 1.25rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .6rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; max-width: 50rem; overflow-wrap: anywhere; }
a { color: var(--accent); }
code { font: .875em/1.45 ui-monospace, "SF Mono", Consolas, "DejaVu Sans Mono",
  monospace; overflow-wrap: anywhere; }
header p { color: var(--soft); }
header .warning { background: var(--warning); color: var(--text); padding: .6rem .8rem;
  border-radius: 6px; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .8rem 0; }
.caption, figcaption { color: var(--soft); font-size: .875rem; }
.tiles { display: grid; gap: .75rem; margin: .8rem 0;
  grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); }
.tiles div { background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: .6rem .8rem; }
.tiles dt { color: var(--soft); font-size: .875rem; }
.tiles dd { margin: 0; font-size: 1.6rem; font-weight: 600; line-height: 1.3;
  font-variant-numeric: tabular-nums; }
.tiles small { display: block; font-size: .8rem; font-weight: 400; color: var(--soft);
  overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .925rem; margin: .4rem 0;
  font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .7rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { font-weight: 400; }
thead th { color: var(--soft); vertical-align: bottom; }
.groups th { text-align: center; border-bottom: 0; padding-bottom: 0;
  color: var(--text); }
th.words, td.words { text-align: left; white-space: normal; }
table.facts td { overflow-wrap: anywhere; }
tbody th { position: sticky; left: 0; background: var(--back); }
tbody th.words { min-width: min(13rem, 38vw); }
table.strong tbody tr:first-child > * { font-weight: 600; }
td.beats { color: var(--beats); font-weight: 600; padding-right: 0; }
td.beats sup { display: inline-block; width: .7rem; font-size: .6rem; line-height: 0;
  text-align: center; }
.figures { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(21rem, 100%), 1fr)); }
figure { margin: 0; max-width: 34rem; }
figure img { width: 100%; height: auto; display: block; }
@media (prefers-color-scheme: light) { figure img { background: #fff; } }
details { border: 1px solid var(--line); border-radius: 8px; margin: .6rem 0;
  padding: .2rem .8rem; }
details[open] { padding-bottom: .7rem; }
summary { cursor: pointer; padding: .35rem 0; overflow-wrap: anywhere; }
summary span { color: var(--soft); font-size: .9rem; margin-left: .6rem; }
.events { list-style: none; margin: .3rem 0 0; padding: 0; }
.events li { display: grid; grid-template-columns: 3.8rem 1fr; gap: .6rem;
  padding: .12rem .5rem; border-radius: 4px;
  background: rgba(var(--heat), calc(var(--shade, 0) * .45)); }
.events b { font-weight: 400; font-size: .85rem; text-align: right; color: var(--soft);
  font-variant-numeric: tabular-nums; }
.events i { font-style: normal; font-weight: 600; white-space: nowrap; }
.events small { color: var(--soft); white-space: nowrap; }
.gap em { color: var(--soft); }
@media (max-width: 40rem) {
  h1 { font-size: 1.35rem; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); gap: .5rem; }
  .tiles dd { font-size: 1.35rem; }
  th, td { padding: .25rem .4rem; }
  td.beats { padding-right: 0; }
  tbody th.words { max-width: 8.5rem; }
  .events li { grid-template-columns: 3.1rem 1fr; gap: .4rem; padding: .12rem .2rem; }
}
@media print { nav { display: none; } .scroll { overflow: visible; } }
"""
