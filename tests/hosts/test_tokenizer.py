"""The tokenizer that is made on the spot, as the libraries read it that vLLM reads it with."""

from __future__ import annotations

import json
import re

import pytest

from harness.errors import ConfigError
from harness.hosts.tokenizer import BEGIN, BYTES, END, write_tokenizer


@pytest.fixture
def made(tmp_path):
    from transformers import AutoTokenizer

    def make(**model):
        write_tokenizer(tmp_path, model)
        return AutoTokenizer.from_pretrained(tmp_path)

    return make


@pytest.mark.parametrize("size", [BYTES + 2, 1024, 20_000])
def test_every_id_of_the_vocabulary_is_a_token_and_every_text_can_be_written(made, size: int) -> None:
    tokenizer = made(vocab_size=size, eos_token_id=2, bos_token_id=1)
    assert (len(tokenizer), tokenizer.eos_token_id, tokenizer.bos_token_id) == (size, 2, 1)
    assert None not in tokenizer.convert_ids_to_tokens(list(range(size)))
    text = 'the {"key": [1, -2.5e3]}\n\tß漢\x00'
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_frequent_letters_become_longer_tokens(made) -> None:
    assert len(made(vocab_size=1024).encode("abab")) == 2


@pytest.mark.parametrize(
    "ids", [{}, {"eos_token_id": [7, 8], "bos_token_id": 7}, {"eos_token_id": -1}, {"eos_token_id": None}]
)
def test_end_and_begin_have_ids_of_their_own_whatever_the_model_says(made, ids) -> None:
    tokenizer = made(vocab_size=300, **ids)
    assert len(tokenizer) == 300
    assert tokenizer.convert_ids_to_tokens([tokenizer.eos_token_id, tokenizer.bos_token_id]) == [END, BEGIN]
    assert tokenizer.eos_token_id != tokenizer.bos_token_id
    assert tokenizer.eos_token_id == (7 if ids.get("eos_token_id") == [7, 8] else 299)


@pytest.mark.parametrize("size", [None, BYTES + 1, "many"])
def test_a_vocabulary_that_has_no_room_for_all_bytes_is_refused(tmp_path, size) -> None:
    with pytest.raises(
        ConfigError, match=re.escape("engine.tokenizer: the model has none, and one of bytes needs a voc")
    ):
        write_tokenizer(tmp_path, json.loads(json.dumps({"vocab_size": size})))
    assert not list(tmp_path.iterdir())
