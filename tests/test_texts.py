"""Text that is not ours: made one line of bounded length on its way in, and only text on its way out."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from harness.errors import ArmError, ConfigError, told_with_place
from harness.report.console import make_console
from harness.texts import code_span, link_target, markdown, markdown_link, on_terminal, one_line, tidy


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a title", "a title"),
        ("one\ntwo\tthree\u2028four", "one two three four"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\u202eback\ud800", r"\u202eback\ud800"),
        ("Größe ±3 µs", "Größe ±3 µs"),
    ],
)
def test_a_line_shows_what_cannot_be_printed(text, line) -> None:
    assert one_line(text) == line


@given(st.text(alphabet=st.characters(), max_size=80), st.integers(30, 60))
def test_a_line_is_printable_bounded_and_stays_as_it_is(text, most) -> None:
    line = one_line(text, most)
    assert line.isprintable()
    assert len(line) <= most
    assert one_line(line, most) == line


def test_what_is_cut_says_so() -> None:
    ending = " ... (5,000,000 characters)"
    assert one_line("x" * 5_000_000, 50) == "x" * (50 - len(ending)) + ending


def test_data_is_tidied_with_its_keys() -> None:
    assert tidy({"a\nb": ["\x1b", 1, {"c": None}]}) == {"a b": [r"\x1b", 1, {"c": None}]}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "+84.2 [80.9, 87.5] of _prepare_inputs & more, < 3 us",
            "+84.2 [80.9, 87.5] of _prepare_inputs & more, < 3 us",
        ),
        ("<script>", r"\<script>"),
        (r"\<b>", r"\\\<b>"),
        ("[a](javascript:x) [b][c]", r"[a]\(javascript:x) [b]\[c]"),
        ("`a` *b* |c| ~d~", r"\`a\` \*b\* \|c\| \~d\~"),
        ("&lt;b&gt; &#60; AT&T", r"\&lt;b\&gt; \&#60; AT&T"),
        ("_emphasis_ a_b", r"_emphasis\_ a_b"),
    ],
)
def test_markdown_shows_text_as_it_is(text, shown) -> None:
    assert markdown(text) == shown
    assert markdown(markdown(text)) == shown


@pytest.mark.parametrize(
    ("text", "code"),
    [("list", "`list`"), ("a`b", "`` a`b ``"), ("```", "```` ``` ````"), ("a|<b>", "`a|<b>`")],
)
def test_code_is_fenced_by_more_backticks_than_it_has(text, code) -> None:
    assert code_span(text) == code


def test_a_link_is_a_file_and_never_an_address() -> None:
    assert link_target("flamegraphs/list+20us.svg") == "flamegraphs/list+20us.svg"
    assert link_target("javascript:alert(1)") == "javascript%3Aalert%281%29"
    assert link_target("\udcff a") == "%FF%20a"
    assert markdown_link("x](http://y") == r"[x\]\(http://y](x%5D%28http%3A//y)"


def test_the_terminal_shows_markup_and_control_codes() -> None:
    out = io.StringIO()
    console = make_console(out, width=60)
    console.print("[bold]a[/bold] [/x] :smile:")
    console.print(Text("\x1b]0;title\x07\x9b31m\nsecond"), style="bold")
    assert out.getvalue() == "[bold]a[/bold] [/x] :smile:\n\\x1b]0;title\\x9b31m\nsecond\n"
    assert on_terminal("a\n\x1b") == "a\n\\x1b"


def test_errors_are_one_bounded_line_each() -> None:
    assert str(ArmError("a\nb\x1b")) == r"a b\x1b"
    assert len(str(ArmError("x" * 5_000_000))) == 2000
    assert str(ConfigError("one\nharness: forged", "two\x1b")) == "one harness: forged\n" + r"two\x1b"
    assert len(told_with_place(ValueError("x" * 5_000_000))) < 2100
