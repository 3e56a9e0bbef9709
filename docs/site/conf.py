"""Sphinx configuration of the documentation site; ``scripts/build-docs`` uses it.

The source directory is the root of the repository: pages link to each other as they do in a file browser, README and
CONTRIBUTING included, and the same links work in the site. What is missing in the navigation, or leads nowhere, is a warning, and
a warning ends the build. Nothing is loaded from elsewhere: no fonts, no scripts.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from docutils import nodes  # noqa: E402
from docutils.statemachine import StringList  # noqa: E402
from pygments.lexers.special import TextLexer  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402
from sphinx.util.docutils import SphinxDirective  # noqa: E402

from fastscp import __version__  # noqa: E402

project = "fastscp"
author = "The fastscp authors"
copyright = author  # noqa: A001 - Sphinx' name for it
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "perf/README.md", "docs/*.md", "docs/adr/*.md", "docs/examples/*.md", "docs/examples/fleet/*.md"]
exclude_patterns = [".*", "*.egg-info", "build", "dist", "fastscp", "received", "scripts", "tests", "docs/site", "docs/images"]
suppress_warnings = ["myst.strikethrough"]
highlight_language = "text"
smartquotes = False  # options begin with two hyphens
nitpicky = True
# Names in annotations that are no page of this site.
nitpick_ignore_regex = [("py:.*", r".*")]

myst_heading_anchors = 6
myst_links_external_new_tab = False
myst_url_schemes = ("http", "https", "mailto")

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}

html_theme = "furo"
html_title = f"fastscp {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["root"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}


class Public(SphinxDirective):
    """``public:: MODULE``: the reference of all that is in the module's ``__all__``, by the names it has there; all but names in ``except``."""

    required_arguments = 1
    optional_arguments = 0
    option_spec = {"except": str.split}  # noqa: RUF012 - as docutils wants it

    def run(self) -> list[nodes.Node]:
        """Have autodoc write each of them."""
        module = importlib.import_module(self.arguments[0])
        lines = []
        for name in module.__all__:
            found = getattr(module, name)
            kind = "class" if isinstance(found, type) else "function" if callable(found) and hasattr(found, "__code__") else "data"
            if not name.startswith("__") and name not in self.options.get("except", ()):
                lines += [f".. auto{kind}:: {module.__name__}.{name}", ""]
        section = nodes.section()
        section.document = self.state.document
        self.state.nested_parse(StringList(lines, self.get_location()), 0, section)
        return section.children


def setup(app: Sphinx) -> None:
    """Know the one language of the pages that Pygments has no lexer for, and the reference of public names."""
    app.add_lexer("haproxy", TextLexer)
    app.add_directive("public", Public)
