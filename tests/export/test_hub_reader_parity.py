"""Our reader of a tokenizer that transformers saved, against transformers: ids, characters and pairs."""

from pathlib import Path

import pytest
import tokenizers as rust
from transformers import (
    BertConfig,
    BertTokenizer,
    GPT2Config,
    GPT2Tokenizer,
    PreTrainedTokenizerBase,
    RobertaConfig,
    RobertaTokenizer,
)

from atinuke.export.hub_reader import HubReader

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "'", "s", "cafe", "##s", "sat", ".", ",", "a"]
MERGES = [("h", "e"), ("t", "he"), ("Ġ", "the"), ("c", "a"), ("ca", "t"), ("Ġ", "cat")]
SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
TEXTS = ("the cat sat.", "The cat's  Café, the\tcats", "€ and 日本語 \n", "", " ", "a")


def byte_ids(special: list[str]) -> dict[str, int]:
    alphabet = sorted(rust.pre_tokenizers.ByteLevel.alphabet())
    return {piece: id for id, piece in enumerate([*special, *alphabet, *("".join(pair) for pair in MERGES)])}


def bert(folder: Path) -> PreTrainedTokenizerBase:
    BertConfig(vocab_size=len(WORDS), **SIZES).save_pretrained(folder)
    return BertTokenizer(vocab={word: id for id, word in enumerate(WORDS)})


def gpt2(folder: Path) -> PreTrainedTokenizerBase:
    ids = byte_ids(["<|endoftext|>"])
    GPT2Config(vocab_size=len(ids), n_embd=8, n_head=2, n_layer=1).save_pretrained(folder)
    return GPT2Tokenizer(vocab=ids, merges=MERGES)


def roberta(folder: Path) -> PreTrainedTokenizerBase:
    ids = byte_ids(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    RobertaConfig(vocab_size=len(ids), max_position_embeddings=40, **SIZES).save_pretrained(folder)
    return RobertaTokenizer(vocab=ids, merges=MERGES)


MAKERS = {"bert": bert, "gpt2": gpt2, "roberta": roberta}


@pytest.fixture(params=MAKERS)
def couple(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, HubReader, PreTrainedTokenizerBase]:
    theirs = MAKERS[request.param](tmp_path)
    theirs.save_pretrained(tmp_path)
    return request.param, HubReader.of_folder(tmp_path), theirs


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_theirs(couple: tuple[str, HubReader, PreTrainedTokenizerBase], text: str) -> None:
    _, ours, theirs = couple
    expected = theirs(text, add_special_tokens=False, return_offsets_mapping=True)
    found = ours.pieces(text)
    assert found.ids.tolist() == expected["input_ids"]
    assert found.ends.tolist() == [end for _, end in expected["offset_mapping"]]
    for start, end, (first, _) in zip(found.starts, found.ends, expected["offset_mapping"], strict=True):
        # theirs may stand before the white space, or, where a token is nothing else, behind it
        assert start == first or text[first:start].isspace() or text[start:end].isspace()


def test_rows_are_framed_as_theirs(couple: tuple[str, HubReader, PreTrainedTokenizerBase]) -> None:
    family, ours, theirs = couple
    one, two = ours.pieces("the cat").ids, ours.pieces("a cat.").ids
    for parts, frame in (
        (("the cat",), ours.frame(one)),
        (("the cat", "a cat."), ours.frame(one, two)),
    ):
        expected = theirs(*parts)
        if family == "gpt2":  # it frames nothing by itself
            assert [id for id in frame.ids.tolist() if id != 0] == expected["input_ids"]
        else:
            assert frame.ids.tolist() == expected["input_ids"]
        if family == "bert":
            assert frame.segments.tolist() == expected["token_type_ids"]
