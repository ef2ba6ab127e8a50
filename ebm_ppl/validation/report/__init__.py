"""A report as a page, as data and as text.

The names below load on first use: Matplotlib comes with the page, and not with the verdicts.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
