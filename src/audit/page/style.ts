/** What the audit's page adds to the common style. Nothing is told by colour alone: lines differ in kind and weight. */
export const style = `
:root { --accent: #2b7bba; --warm: #d55e00; --dim: #6b717c; --shade: #f4f5f7; --hit: #ffe08a; --hit-ink: #1d2026; }
@media (prefers-color-scheme: dark) { :root { --accent: #6cb2ec; --warm: #f0904a; --dim: #8d95a1; --shade: #1f2229; --hit: #6a5416; --hit-ink: #fff; } }
@media print { :root { --accent: #2b7bba; --warm: #d55e00; --dim: #6b717c; --shade: #f4f5f7; --hit: #ffe08a; --hit-ink: #000; } }
body { max-width: 76rem; }
/* A table scrolls sideways where it is too wide; the names of its rows do not give way first. */
th:first-child, td:first-child { min-width: 7rem; }
section > p, .lead { max-width: 48rem; }
.lead { font-size: 1.15rem; }
.faint { color: var(--faint); }
.warning { border-left: 4px solid var(--warm); padding-left: .8rem; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
a { color: var(--accent); } button, input, select { font: inherit; color: inherit; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.plots { grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); align-items: start; }
.scroll { margin: 1rem 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: .6rem 1.5rem; margin: 1.25rem 0; }
.facts dt { color: var(--faint); font-size: .85rem; } .facts dd { margin: 0; overflow-wrap: anywhere; }
.contents { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; padding: .5rem 0; border-block: 1px solid var(--rule); }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 0 2.5rem; }
ol.tokens, ol.rows { list-style: none; padding: 0; margin: 0; }
ol.tokens > li, ol.rows > li { padding: .45rem 0; border-bottom: 1px solid var(--rule); break-inside: avoid; }
ol p { margin: 0; } .row { display: flex; flex-wrap: wrap; gap: 0 .9rem; align-items: baseline; }
code { font: .95em ui-monospace, 'DejaVu Sans Mono', monospace; background: var(--shade); padding: .05rem .3rem; border-radius: 3px; overflow-wrap: anywhere; unicode-bidi: isolate; }
.example { color: var(--faint); font-size: .9em; overflow-wrap: anywhere; unicode-bidi: isolate; }
.example mark { background: none; color: var(--ink); font-weight: 600; border-bottom: 2px solid var(--accent); }
.example mark.dropped { border-bottom: 2px dotted var(--warm); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8rem; }
.pair p { margin: .1rem 0; } .pair { margin: .5rem 0; }
.name { overflow-wrap: anywhere; }

.reader { display: grid; grid-template-columns: minmax(15rem, 20rem) minmax(0, 1fr); gap: 0 2rem; align-items: start; }
.picker { display: flex; flex-direction: column; gap: .35rem; max-height: 46rem; position: sticky; top: .5rem; }
.picker label { font-size: .85rem; color: var(--faint); }
.picker input, .picker select { padding: .35rem .5rem; border: 1px solid var(--rule); border-radius: 4px; background: var(--paper); width: 100%; box-sizing: border-box; }
.picker p { margin: 0; }
#documents { list-style: none; padding: 0; margin: 0; overflow-y: auto; border: 1px solid var(--rule); border-radius: 4px; }
#documents li + li { border-top: 1px solid var(--rule); }
#documents button { display: flex; flex-direction: column; width: 100%; text-align: left; background: none; border: 0; border-left: 4px solid transparent; padding: .35rem .5rem; cursor: pointer; font-size: .85rem; line-height: 1.35; }
#documents button:hover { background: var(--shade); } #documents button:focus-visible { outline-offset: -2px; }
#documents button[aria-current=true] { border-left-color: var(--accent); background: var(--shade); font-weight: 600; }
#documents .faint { font-weight: 400; } .tag, .hits { color: var(--accent); font-weight: 400; }
.paper { max-width: 52rem; } .paper h3 { margin: 0; overflow-wrap: anywhere; } .paper > p { margin: .25rem 0; }
.tools { display: flex; flex-wrap: wrap; gap: .4rem 1.25rem; justify-content: space-between; padding: .5rem 0; }
.tools fieldset { border: 0; padding: 0; margin: 0; display: flex; flex-wrap: wrap; gap: .2rem .9rem; } .tools label { cursor: pointer; white-space: nowrap; }
.jumps { display: flex; flex-wrap: wrap; gap: .4rem; }
.jumps button { padding: .15rem .6rem; border: 1px solid var(--rule); border-radius: 4px; background: var(--shade); cursor: pointer; }
.legend { display: none; font-size: .9rem; }
[data-mode=kept] [data-for=kept], [data-mode=excess] [data-for=excess], [data-mode=weight] [data-for=weight], [data-mode=loss] [data-for=loss] { display: block; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; tab-size: 4; unicode-bidi: isolate; min-height: 6rem; max-height: 38rem; overflow-y: auto; padding: .75rem 1rem; border: 1px solid var(--rule); border-radius: 4px;
  font: 1.05rem/1.75 Charter, 'Bitstream Charter', 'Sitka Text', Cambria, 'Source Serif 4', 'DejaVu Serif', serif; }
.text span { border-radius: 2px; } .text span:hover { background: color-mix(in srgb, var(--accent) 16%, transparent); }
.text span:focus { outline: 2px solid var(--accent); outline-offset: 1px; }
.sample { white-space: nowrap; }
.isolated { unicode-bidi: isolate; }
.text [data-mark]::before { content: '⟨' attr(data-mark) '⟩'; font: .7rem system-ui, sans-serif; color: var(--faint); }
.none { font-style: italic; color: var(--dim); }
.text span, .sample { text-decoration-skip-ink: none; text-underline-offset: .22em; }
[data-mode=kept] .dropped, [data-mode=weight] .w0 { color: var(--dim); text-decoration: underline dotted 1.5px var(--dim); }
[data-mode=excess] :is(.down1, .down2, .down3) { --line: dashed; --ink-of-line: var(--warm); }
[data-mode=excess] :is(.up1, .down1), [data-mode=weight] .w1, [data-mode=loss] .l1 { --thick: 1px; --tint: 0%; }
[data-mode=excess] :is(.up2, .down2), [data-mode=weight] .w2, [data-mode=loss] .l2 { --thick: 2px; --tint: 10%; }
[data-mode=excess] :is(.up3, .down3), [data-mode=weight] .w3, [data-mode=loss] .l3 { --thick: 3px; --tint: 20%; }
[data-mode=weight] .w4, [data-mode=loss] .l4 { --thick: 4px; --tint: 28%; }
[data-mode=excess] :is(.up1, .up2, .up3, .down1, .down2, .down3), [data-mode=weight] :is(.w1, .w2, .w3, .w4), [data-mode=loss] :is(.l1, .l2, .l3, .l4) {
  text-decoration: underline var(--line, solid) var(--thick) var(--ink-of-line, var(--accent)); background: color-mix(in srgb, var(--ink-of-line, var(--accent)) var(--tint), transparent); print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.text span.hit { background: var(--hit); color: var(--hit-ink); box-shadow: 0 0 0 1px var(--ink); }
#card { position: fixed; z-index: 2; display: flex; flex-direction: column; max-width: min(22rem, calc(100vw - 2rem)); padding: .45rem .7rem; border: 1px solid var(--rule); border-radius: 4px; background: var(--paper); color: var(--ink); box-shadow: 0 3px 14px rgb(0 0 0 / .25); font-size: .85rem; line-height: 1.45; overflow-wrap: anywhere; pointer-events: none; }
#card[hidden] { display: none; } #card .id { color: var(--faint); }
@media (max-width: 50rem) {
  .reader { grid-template-columns: minmax(0, 1fr); gap: 1rem; } .picker { position: static; } #documents { max-height: 13rem; }
  .text { max-height: 70vh; padding: .6rem .7rem; }
}
@media print {
  html { font-size: 11px; } .picker, .jumps, .tools fieldset, .keys, .contents, #card { display: none !important; } .reader { display: block; }
  .text { border: 0; padding: 0; max-height: none; overflow: visible; font-size: 11px; max-width: none; } details:not([open]) { display: none; }
  .facts, .columns { grid-template-columns: 1fr 1fr; }
}
`;
