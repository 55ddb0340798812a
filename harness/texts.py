"""Text that is not ours: cut and made one line where it enters, and escaped where it leaves, once for each output.

It comes from titles, exceptions, file names, keys of configs, and run folders of other people. `one_line` and `tidy`
are for what is read. On the way out `on_terminal` is for terminals, `markdown`, `code_span` and `markdown_link` are for
Markdown, `link_target` is for links of any page; HTML and SVG are escaped by their templates (`report.templates`).
"""

from __future__ import annotations

import os
import re
from typing import Any, Final
from urllib.parse import quote

__all__ = [
    "LONGEST",
    "Markdown",
    "code_span",
    "link_target",
    "markdown",
    "markdown_link",
    "on_terminal",
    "one_line",
    "tidy",
]

LONGEST: Final = 4000
"""Characters of a text that is read, at most."""
LONGEST_KEY: Final = 200

_IN_MARKDOWN: Final = re.compile(
    r"""
      [\\`*~|]                   # escapes, code, emphasis, cells of tables
    | _(?!\w)                    # the end of an emphasis; within a name it is none
    | <(?=[A-Za-z/!?])           # HTML, and links in angle brackets
    | &(?=\#|[A-Za-z][A-Za-z0-9]*;)  # entities
    | (?<=\])[\[(]               # what makes a link of brackets
    """,
    re.VERBOSE,
)
_TICKS: Final = re.compile(r"`+")


def one_line(text: str, most: int = LONGEST) -> str:
    r"""The text in one line of at most `most` characters: what cannot be printed is shown as an escape such as `\x1b`.

    White space of any kind becomes a space. What comes out is left as it is when it comes in again.
    """
    kept = _printable(text[:most])
    if len(text) <= most and len(kept) <= most:
        return kept
    ending = f" ... ({len(text):,} characters)"
    return kept[: max(most - len(ending), 0)] + ending[:most]


def tidy(value: Any) -> Any:
    """Plain data with every text in it, keys too, made one line. The data must not be nested without end."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, dict):
        return {one_line(str(key), LONGEST_KEY): tidy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [tidy(item) for item in value]
    return value


def on_terminal(text: str) -> str:
    """The text for a terminal: line breaks stay, whatever else a terminal would obey is shown as an escape."""
    if text.isprintable():
        return text
    return "\n".join(_printable(line) for line in text.split("\n"))


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else " " if character.isspace() else _escape(character)
        for character in text
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class Markdown(str):
    """Text that is Markdown already, and is not escaped again."""

    __slots__ = ()


def markdown(text: object) -> Markdown:
    """The text as it is to be read, for a paragraph or a table's cell: nothing in it is HTML, a link or formatting.

    Underscores within names and brackets of intervals need no escape, and get none, since people read the source too.
    """
    if isinstance(text, Markdown):
        return text
    return Markdown(_IN_MARKDOWN.sub(lambda found: f"\\{found[0]}", str(text)))


def code_span(text: str) -> Markdown:
    """The text as code, whatever backticks it has."""
    ticks = "`" * (1 + max((len(run) for run in _TICKS.findall(text)), default=0))
    pad = " " if "`" in text or not text.strip() else ""
    return Markdown(f"{ticks}{pad}{text}{pad}{ticks}")


def markdown_link(name: str) -> Markdown:
    """A link to a file beside the page."""
    shown = re.sub(r"[\[\]]", r"\\\g<0>", markdown(one_line(name, LONGEST_KEY)))
    return Markdown(f"[{shown}]({link_target(name)})")


def link_target(name: str) -> str:
    """A file's path below the page's folder, as a link: never an address with a scheme, such as javascript:."""
    return quote(os.fsencode(name), safe="/+,=@~")
