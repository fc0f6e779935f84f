"""What the site needs beyond Markdown: links that leave docs/ become text, roles of docstrings become code."""

from __future__ import annotations

import re

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")
_ROLE = re.compile(r":(?:math|func|class|meth|data|attr|mod):<code>")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Files of the repository are not part of the site: name them."""
    return _OUTSIDE.sub(r"\1 (`\2`)", markdown)


def on_page_content(html: str, **_: object) -> str:
    """Drop the names of roles in front of code."""
    return _ROLE.sub("<code>", html)
