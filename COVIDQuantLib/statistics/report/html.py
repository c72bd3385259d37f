"""The study as one HTML file that needs nothing else: tables, figures as SVG, methods, what was left out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import COVIDQuantLib

if TYPE_CHECKING:
    from COVIDQuantLib.statistics.study import Study

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 15px/1.5 "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; color: #222; background: #fff; margin: 0; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 3rem 0 .5rem; padding-top: 1rem; border-top: 1px solid #ccc; }
h2 small { font-weight: normal; font-size: .8rem; color: #666; margin-left: .5rem; }
.lead { color: #555; margin: 0 0 1.5rem; }
nav ol { columns: 2; padding-left: 1.4rem; font-size: .92rem; }
nav a { color: #225; }
figure { margin: 1.4rem 0; break-inside: avoid; }
figure img { max-width: 100%; height: auto; display: block; }
figcaption, caption { font-size: .88rem; text-align: left; }
caption { caption-side: top; font-weight: 600; padding-bottom: .35rem; }
.scroll { overflow-x: auto; margin: 1.2rem 0 .2rem; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; }
thead th { border-top: 1.5px solid #222; border-bottom: 1px solid #222; font-weight: 600; vertical-align: bottom; }
th, td { text-align: left; padding: .22rem .9rem .22rem 0; white-space: nowrap; vertical-align: top; }
td.wide { white-space: normal; min-width: 12rem; }
tbody tr:last-child td { border-bottom: 1.5px solid #222; }
td.in { padding-left: 1.2rem; }
tr.head td { font-weight: 600; padding-top: .5rem; }
.notes { font-size: .8rem; color: #444; margin: .3rem 0 1.4rem; }
.notes p, .methods p { margin: .15rem 0; }
.methods { font-size: .85rem; color: #333; background: #f6f6f4; padding: .6rem .9rem; margin: .8rem 0; }
.methods b { font-weight: 600; }
.warn { font-size: .88rem; border-left: 4px solid #c47f00; background: #fff7e6; padding: .5rem .9rem; margin: .8rem 0; }
.warn ul { margin: .2rem 0; padding-left: 1.2rem; }
footer { margin-top: 3rem; font-size: .8rem; color: #666; }
@media print { main { max-width: none; padding: 0; } h2 { break-after: avoid; } .scroll { overflow: visible; }
  table { font-size: .72rem; } th, td { white-space: normal; } td.short { white-space: nowrap; } }
"""

_TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ study.title }}</title>
<style>{{ style | safe }}</style>
</head>
<body><main>
<h1>{{ study.title }}</h1>
<p class="lead">Study report of COVIDQuant {{ version }}. Not a medical device.</p>
{% if study.warnings %}<div class="warn"><ul>
{%- for text in study.warnings %}<li>{{ text }}</li>{% endfor -%}
</ul></div>{% endif %}
<nav><ol start="0">
{% for section in study.sections %}<li><a href="#s{{ loop.index0 }}">{{ section.title }}</a></li>
{% endfor %}</ol></nav>
{% for section in study.sections %}
<section>
<h2 id="s{{ loop.index0 }}">{{ loop.index0 }}. {{ section.title }}
{%- if section.rows %}<small>{{ section.rows | join(", ") }}</small>{% endif %}</h2>
{% if section.warnings %}<div class="warn"><ul>
{%- for text in section.warnings %}<li>{{ text }}</li>{% endfor -%}
</ul></div>{% endif %}
{% for table in section.tables %}
<div class="scroll"><table>
<caption>{{ table.title }}</caption>
<thead><tr>{% for column in table.columns %}<th scope="col">{{ column }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}<tr{% if row | length > 1 and not row[1:] | join("") %} class="head"{% endif %}>
{%- for text in row %}
<td class="{{ "in" if text.startswith("    ") else "wide" if text | length > 44 else "short" if text | length < 13 }}">
{{- text.strip() }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{% if table.notes %}<div class="notes">{% for text in table.notes %}<p>{{ text }}</p>{% endfor %}</div>{% endif %}
{% endfor %}
{% for stem, figure in stems[loop.index0] %}
<figure><img alt="{{ figure.title }}: {{ figure.caption }}" src="data:image/svg+xml;base64,{{ pictures[stem] }}">
<figcaption><b>{{ figure.title }}.</b> {{ figure.caption }}</figcaption></figure>
{% endfor %}
{% if section.methods %}<div class="methods"><b>Methods</b>
{%- for text in section.methods %}<p>{{ text }}</p>{% endfor %}</div>{% endif %}
<div class="methods"><b>Left out of this analysis</b>
{%- for text in section.left_out %}<p>{{ text }}</p>{% else %}<p>Nothing beyond the patient flow.</p>{% endfor %}</div>
</section>
{% endfor %}
<footer>{{ versions }}</footer>
</main></body></html>
"""


def html_report(study: Study, pictures: Mapping[str, bytes]) -> str:
    """The report.

    Args:
        study: the results.
        pictures: each figure's SVG, by its file name without the ending.
    """
    from jinja2 import Environment, StrictUndefined

    from COVIDQuantLib.export.table_file import software_versions
    from COVIDQuantLib.statistics.packages import computing_versions
    from COVIDQuantLib.statistics.report.files import figure_stems

    stems = [list(figure_stems(number, section)) for number, section in enumerate(study.sections)]
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(_TEMPLATE)
    versions = software_versions() | computing_versions()
    values: dict[str, Any] = {
        "study": study,
        "style": _STYLE,
        "version": COVIDQuantLib.__version__,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "stems": stems,
        "pictures": {stem: b64encode(svg).decode("ascii") for stem, svg in pictures.items()},
    }
    return template.render(values)
