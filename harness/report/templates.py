"""The templates: what is put into a page is escaped here, once for HTML and SVG and once for Markdown."""

from __future__ import annotations

import functools
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.texts import code_span, link_target, markdown, markdown_link

__all__ = ["render"]

_HTML: Final = (".html.j2", ".svg.j2")


def render(template: str, **content: object) -> str:
    """Fill a template; its name's end says which kind of page it is.

    In HTML and SVG every value is escaped but those that are markupsafe's Markup; in Markdown every value but those
    that are `texts.Markdown`.
    """
    return _environment(template.endswith(_HTML)).get_template(template).render(**content)


@functools.cache
def _environment(html: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("harness.report"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=not html, autoescape=html, finalize=None if html else markdown,  # noqa: S701
    )  # fmt: skip
    environment.filters |= {"code": code_span, "file": markdown_link, "target": link_target}
    return environment
