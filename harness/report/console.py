"""The terminal: text on it is shown as it is, never obeyed, be it markup of rich or a terminal's own control codes."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from rich.console import Console, RenderHook
from rich.segment import Segment

from harness.texts import on_terminal

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, ConsoleRenderable, RenderResult

__all__ = ["make_console"]


def make_console(file: IO[str] | None = None, stderr: bool = False, width: int | None = None) -> Console:
    """A console for whatever harness prints.

    Args:
        file: where it writes; None for the standard output, or the standard error with `stderr`.
        stderr: as said.
        width: in columns; None asks the terminal.
    """
    console = Console(file=file, stderr=stderr, width=width, markup=False, emoji=False)
    console.push_render_hook(_Plainly())
    return console


class _Plainly(RenderHook):
    """Escapes what a terminal would obey in all that is printed, after rich has laid it out."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Plain(renderable) for renderable in renderables]


class _Plain:
    """Something to print, without control codes in its text; rich's own are in segments of their own."""

    def __init__(self, renderable: ConsoleRenderable) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._renderable, options):
            plain = segment if segment.control else Segment(on_terminal(segment.text), segment.style)
            yield plain
