"""A report as a page, as data and as text: pure functions of `ebm_ppl.validation.results.Report`."""

from ebm_ppl.validation.report.html import render_html as render_html
from ebm_ppl.validation.report.html import to_html as to_html
from ebm_ppl.validation.report.json_report import load_json as load_json
from ebm_ppl.validation.report.json_report import render_json as render_json
from ebm_ppl.validation.report.json_report import to_json as to_json
from ebm_ppl.validation.report.markdown import render_markdown as render_markdown
from ebm_ppl.validation.report.markdown import to_markdown as to_markdown
