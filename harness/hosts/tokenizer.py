"""A tokenizer for a model with random weights, which has none: of bytes and runs of letters, without a download.

It is a byte-level BPE, as GPT-2, Llama 3 and Qwen have, so that vLLM makes texts by the same code as for them (its fast
detokenizer), and grammars find every byte among the tokens.
"""

from __future__ import annotations

import itertools
import json
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.errors import ConfigError, in_line
from harness.paths import is_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MADE", "lacks_tokenizer", "vocabulary_of", "write_tokenizer"]

FILES: Final = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "tekken.json")
"""A model's folder that has one of them has a tokenizer of its own."""
MADE: Final = "of bytes, made for this run"
"""What a run says of a tokenizer of ours."""
END: Final = "<|end|>"
BEGIN: Final = "<|begin|>"
BYTES: Final = 256


def lacks_tokenizer(engine: Mapping[str, Any]) -> bool:
    """Whether an engine with these arguments wants a tokenizer, and neither they nor the model's folder has one.

    Args:
        engine: arguments of `vllm.LLM`; a model that is no folder is one of the hub, and has its own.
    """
    folder = Path(str(engine["model"]))
    wanted = not engine.get("skip_tokenizer_init", True) and engine.get("tokenizer") is None
    return wanted and is_file(folder / "config.json") and not any(is_file(folder / name) for name in FILES)


def vocabulary_of(model: Mapping[str, Any]) -> int:
    """How many tokens a model knows, by what its config.json holds.

    Raises:
        ConfigError: too few for a tokenizer of bytes, or it is not said.
    """
    size = model.get("vocab_size")
    if isinstance(size, bool) or not isinstance(size, int) or size < BYTES + 2:
        raise ConfigError(
            f"engine.tokenizer: the model has none, and one of bytes needs a vocabulary of {BYTES + 2} tokens or more, "
            f"not {in_line(size, 60)}: name a tokenizer"
        )
    return size


def write_tokenizer(folder: Path, model: Mapping[str, Any]) -> None:
    """Write a tokenizer whose tokens are all of a model's vocabulary.

    Args:
        folder: where to; it is there.
        model: what the model's config.json holds.

    Raises:
        ConfigError: the vocabulary is too small, or its size is not known.
    """
    size = vocabulary_of(model)
    special = _special(model, size)
    words = _words()
    tokens = {special.get(index) or next(words): index for index in range(size)}
    merges = [f"{token[:-1]} {token[-1]}" for token in tokens if len(token) > 1 and token not in special.values()]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    of_special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [{"id": index, "content": text, **of_special} for index, text in sorted(special.items())],
        "pre_tokenizer": level,
        "decoder": level,
        "model": {"type": "BPE", "vocab": tokens, "merges": merges},
    }
    named = {"eos_token": END, "bos_token": BEGIN, "clean_up_tokenization_spaces": False}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **named}), encoding="utf-8"
    )


def _special(model: Mapping[str, Any], size: int) -> dict[int, str]:
    """The end and the begin of a text by their ids: the model's own, or the vocabulary's last."""
    ends = model.get("eos_token_id")
    ids = [ends[0] if isinstance(ends, list) and ends else ends, model.get("bos_token_id")]
    found: dict[int, str] = {}
    for index, text in zip(ids, (END, BEGIN), strict=True):
        free = next(last for last in range(size - 1, 0, -1) if last not in found)
        found[index if isinstance(index, int) and 0 <= index < size and index not in found else free] = text
    return found


def _words() -> Iterator[str]:
    """All bytes, as byte-level tokenizers write them, and then all words of letters, short ones first."""
    yield from _byte_letters()
    for length in itertools.count(2):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            yield "".join(letters)


def _byte_letters() -> Iterator[str]:
    """A letter for each byte: itself where it is a visible one of Latin-1, else one from U+0100 on.

    [GPT-2's encoder.py, bytes_to_unicode]
    """
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = itertools.count(BYTES)
    for byte in range(BYTES):
        yield chr(byte) if byte in visible else chr(next(others))
