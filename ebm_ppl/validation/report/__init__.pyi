from .document import Report as Report
from .html import render_html as render_html
from .html import to_html as to_html
from .json_report import load_json as load_json
from .json_report import render_json as render_json
from .json_report import to_json as to_json
from .markdown import render_markdown as render_markdown
from .markdown import to_markdown as to_markdown
