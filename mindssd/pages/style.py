"""How the page of a report looks: at any width, light, dark and on paper."""

STYLE = """
:root{color-scheme:light dark;--ground:#fbfbf9;--card:#fff;--ink:#1c1e21;--soft:#5c6168;
--line:#dcdcd6;--good:#2f7d6d;--bad:#b8472e;--warm:#fff6e5;--warmline:#e5b454;--blue:#2b6cb0;
--orange:#b7600d;--violet:#7b4fa3}
@media (prefers-color-scheme:dark){:root{--ground:#15171a;--card:#1d2024;--ink:#e8e8e4;
--soft:#a3a8af;--line:#363b42;--good:#5bb8a4;--bad:#ee8a70;--warm:#2c2616;--warmline:#8f6f2a;
--blue:#7db7ee;--orange:#f0ab5c;--violet:#c3a0e6}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);overflow-wrap:break-word;
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1080px;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.7rem;margin:0;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:0 0 .75rem}
h3{font-size:1rem;margin:1.4rem 0 .6rem}
header p{margin:.2rem 0 1rem;color:var(--soft);overflow-wrap:anywhere}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:1rem 1.1rem;margin:0 0 1rem}
.advice{background:var(--warm);border-color:var(--warmline)}
ul{margin:.2rem 0;padding-left:1.2rem}
li{margin:.25rem 0;overflow-wrap:anywhere}
.wide{overflow-x:auto;margin:.5rem 0}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:right;
vertical-align:top;font-variant-numeric:tabular-nums}
th{color:var(--soft);font-weight:600}
th:first-child,td:first-child{text-align:left;padding-left:0}
li code{overflow-wrap:anywhere}
.advised code{font-weight:700}
.pair img{max-height:360px;object-fit:contain;object-position:left}
@media (max-width:600px){main{padding:1rem .6rem 3rem}section{padding:.8rem}
th,td{padding:.3rem .35rem}table{font-size:.85rem}}
code{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.86rem}
.range{white-space:nowrap;display:inline-block}
small{color:var(--soft);overflow-wrap:anywhere}
.soft{color:var(--soft);font-size:.9rem}
details{border-top:1px solid var(--line);padding:.4rem 0}summary{cursor:pointer;font-weight:600}
.swatch{display:inline-block;width:.8rem;height:.8rem;border-radius:2px;background:var(--c);
vertical-align:-.1rem;margin:0 .3rem 0 .6rem}
.matrix{width:auto}.matrix td,.matrix th{padding:.3rem .5rem;border:1px solid var(--line)}
.matrix tbody th{text-align:left;white-space:nowrap}
.hit{background:color-mix(in srgb,var(--good) calc(var(--a)*45%),transparent)}
.err{background:color-mix(in srgb,var(--orange) calc(var(--a)*45%),transparent)}
.bar{display:block;min-width:5rem;max-width:20rem;height:.45rem;margin-top:.2rem;border-radius:3px;
background:var(--line);overflow:hidden}
.bar span{display:block;height:100%;background:var(--good)}
.figures{display:grid;gap:.8rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,280px),1fr))}
.figures.small{grid-template-columns:repeat(auto-fill,minmax(min(46%,190px),1fr))}
.figures.pair{grid-template-columns:1fr 1fr;padding:.6rem 0;border-top:1px solid var(--line)}
.figures.crosses figcaption{color:var(--bad)}
figure{margin:0;min-width:0}
figure img{display:block;width:100%;height:auto;border-radius:6px}
button.open{all:unset;cursor:zoom-in;display:block;width:100%}
button.open:focus-visible{outline:3px solid var(--blue);outline-offset:2px;border-radius:6px}
[popover]{border:1px solid var(--line);border-radius:10px;padding:.8rem;background:var(--card);
color:var(--ink);width:min(96vw,1100px);max-height:94vh;overflow:auto}
[popover]::backdrop{background:#000a}
[popover] img{display:block;max-width:100%;max-height:78vh;margin:0 auto .5rem;border-radius:6px}
[popover] button{font:inherit;padding:.2rem .9rem}
figcaption{font-size:.82rem;color:var(--soft);margin-top:.25rem;overflow-wrap:anywhere}
.charts{display:grid;gap:1rem;margin:1rem 0;
grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr))}
svg{width:100%;height:auto;display:block}
svg text{fill:var(--soft);font-size:12px}
svg .good{fill:var(--good)}
svg .bad{fill:var(--bad)}
svg .axis{fill:none;stroke:var(--line)}
svg .mark{stroke:var(--ink);stroke-dasharray:4 3}
svg .grid{fill:none;stroke:var(--line);stroke-width:.6}
svg .value{fill:var(--ink);font-weight:600}
svg .line{fill:none;stroke-width:2;stroke:var(--c)}svg .spot,svg .fill{fill:var(--c)}
svg .spot{stroke:var(--card);stroke-width:1.5}
.s0{--c:var(--blue)}.s1{--c:var(--orange);stroke-dasharray:7 3}
.s2{--c:var(--good);stroke-dasharray:4 2}
.s3{--c:var(--violet)}.s4{--c:var(--bad);stroke-dasharray:9 3 2 3}
.s5{--c:var(--soft);stroke-dasharray:3 3}
svg .fill,svg .spot{stroke-dasharray:none}
.key{display:inline-block;margin-right:.8rem}.key svg{display:inline-block;width:26px;height:8px;
vertical-align:middle;margin-right:.3rem}
svg .dot{fill:none;stroke:var(--bad);stroke-width:1.8}
@media print{:root{color-scheme:light;--ground:#fff;--card:#fff;--ink:#000;--soft:#444;
--line:#bbb;--good:#2f7d6d;--bad:#b8472e;--warm:#fff;--warmline:#888;--blue:#2b6cb0;--orange:#b7600d;--violet:#7b4fa3}
section{break-inside:auto;border-radius:0}figure,tr{break-inside:avoid}main{max-width:none}}
"""
