"""Text through the tokenizers of other networks: pieces with their characters, frames of each family, and files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers as rust

from atinuke.errors import ConfigError, DamagedFileError, RunFolderError, SourceError
from atinuke.export.hub_reader import HubReader
from atinuke.tokenizers.reading import Reader

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, "the", "cat", "'", "s", "cafe", "sat", "##s", "down", ".", "[", "]", "sep", "the\u0301"]
BERT = {
    "model_type": "bert",
    "vocab_size": len(WORDS),
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "intermediate_size": 16,
}
MERGES = [("h", "e"), ("t", "he"), ("Ġ", "the"), ("c", "a"), ("ca", "t"), ("Ġ", "cat")]


def byte_ids(special: list[str]) -> dict[str, int]:
    """A small byte-level vocabulary: special tokens, all bytes, and what the merges make."""
    alphabet = sorted(rust.pre_tokenizers.ByteLevel.alphabet())
    return {piece: id for id, piece in enumerate([*special, *alphabet, *("".join(pair) for pair in MERGES)])}


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    write_json(tmp_path / "config.json", BERT)
    return tmp_path


def byte_level(folder: Path, family: str, special: list[str], **config: Any) -> Path:
    """A folder with vocab.json and merges.txt."""
    ids = byte_ids(special)
    if family == "gpt2":
        sizes: dict[str, Any] = {"n_embd": 8, "n_head": 2, "n_layer": 1}
    else:
        sizes = {key: value for key, value in BERT.items() if key not in ("model_type", "vocab_size")}
    write_json(folder / "config.json", {"model_type": family, "vocab_size": len(ids), **sizes, **config})
    write_json(folder / "vocab.json", ids)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in MERGES)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def spelled(reader: HubReader, text: str, words: list[str]) -> list[tuple[str, int, int]]:
    """Each piece with its characters."""
    found = reader.pieces(text)
    return [
        (words[id], start, end) for id, start, end in zip(found.ids.tolist(), found.starts, found.ends, strict=True)
    ]


# --- WordPiece ---


def test_words_become_pieces_with_the_characters_of_the_text_as_it_was(bert: Path) -> None:
    reader = HubReader.of_folder(bert)
    assert spelled(reader, "The cat's  Café\tsat.", WORDS) == [
        ("the", 0, 3),
        ("cat", 4, 7),
        ("'", 7, 8),
        ("s", 8, 9),
        ("cafe", 11, 15),
        ("sat", 16, 19),
        (".", 19, 20),
    ]
    assert spelled(reader, "cats dog", WORDS) == [("cat", 0, 3), ("##s", 3, 4), ("[UNK]", 5, 8)]
    assert spelled(reader, "", WORDS) == spelled(reader, " \n", WORDS) == []


def test_capitals_are_kept_where_the_folder_says_so(bert: Path) -> None:
    write_json(bert / "tokenizer_config.json", {"do_lower_case": False})
    assert spelled(HubReader.of_folder(bert), "The cat", WORDS) == [("[UNK]", 0, 3), ("cat", 4, 7)]


def test_a_special_token_that_a_text_spells_is_letters(bert: Path) -> None:
    pieces = HubReader.of_folder(bert).pieces("the [SEP] [MASK]")
    assert not {WORDS.index("[SEP]"), WORDS.index("[MASK]"), WORDS.index("[CLS]")} & set(pieces.ids.tolist())


def test_a_pair_is_framed_as_bert_was_trained(bert: Path) -> None:
    reader: Reader = HubReader.of_folder(bert)
    one, two = reader.pieces("the cat").ids, reader.pieces("sat").ids
    frame = reader.frame(one, two)
    assert [WORDS[id] for id in frame.ids] == ["[CLS]", "the", "cat", "[SEP]", "sat", "[SEP]"]
    assert frame.segments.tolist() == [0, 0, 0, 0, 1, 1]
    assert frame.begins == (1, 4)
    assert len(frame.ids) - len(one) - len(two) == reader.frame_cost(2) == 3
    single = reader.frame(one)
    assert [WORDS[id] for id in single.ids] == ["[CLS]", "the", "cat", "[SEP]"]
    assert single.begins == (1,) and reader.frame_cost(1) == 2
    assert single.ids.dtype == single.segments.dtype == np.int64


def test_parts_without_tokens_have_their_place(bert: Path) -> None:
    reader = HubReader.of_folder(bert)
    nothing = reader.pieces("").ids
    assert reader.frame(nothing, nothing).begins == (1, 2)
    assert reader.frame(nothing, nothing, nothing).segments.tolist() == [0, 0, 1, 1]


def test_each_word_finds_its_first_token(bert: Path) -> None:
    ids, first = HubReader.of_folder(bert).words(["The", "cats", "'s", "", "café"])
    assert [WORDS[id] for id in ids] == ["the", "cat", "##s", "'", "s", "cafe"]
    assert first.tolist() == [0, 1, 3, 5, 5]


def test_special_tokens_of_other_names(bert: Path) -> None:
    words = ["<p>" if word == "[PAD]" else word.replace("[CLS]", "<c>").replace("[UNK]", "<u>") for word in WORDS]
    (bert / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"vocab\.txt has no \[UNK\]"):
        HubReader.of_folder(bert)
    write_json(bert / "tokenizer_config.json", {"unk_token": {"content": "<u>"}})
    with pytest.raises(ConfigError, match=r"names no cls_token, and \[CLS\] is no token of it"):
        HubReader.of_folder(bert)
    write_json(bert / "special_tokens_map.json", {"cls_token": "<c>"})
    assert HubReader.of_folder(bert).frame().ids.tolist() == [words.index("<c>")]
    write_json(bert / "tokenizer_config.json", {"unk_token": "<u>", "cls_token": "<none>"})
    with pytest.raises(ConfigError, match="cls_token is <none>, which is no token"):
        HubReader.of_folder(bert)


# --- Byte-level BPE ---


def test_a_space_belongs_to_a_token_and_not_to_its_characters(tmp_path: Path) -> None:
    reader = HubReader.of_folder(byte_level(tmp_path, "gpt2", ["<|endoftext|>"], eos_token_id=0, bos_token_id=0))
    words = list(byte_ids(["<|endoftext|>"]))
    assert spelled(reader, "the the cat", words) == [("the", 0, 3), ("Ġthe", 4, 7), ("Ġcat", 8, 11)]
    assert spelled(reader, "a  b", words) == [("a", 0, 1), ("Ġ", 1, 2), ("Ġ", 2, 3), ("b", 3, 4)]
    # one character of three bytes is three tokens, which all stand for it
    assert [place for _, *place in spelled(reader, "€x", words)] == [[0, 1], [0, 1], [0, 1], [1, 2]]


def test_gpt2_parts_rows_by_the_end_of_a_text(tmp_path: Path) -> None:
    reader = HubReader.of_folder(byte_level(tmp_path, "gpt2", ["<|endoftext|>"], eos_token_id=0, bos_token_id=0))
    one = reader.pieces("the").ids
    assert reader.frame(one, one).ids.tolist() == [0, *one, 0, *one, 0]
    assert reader.frame(one, one).segments.tolist() == [0, 0, 0, 1, 1]
    assert reader.frame_cost(2) == 3
    assert 0 not in reader.pieces("<|endoftext|>").ids


def test_roberta_has_two_separators_between_and_one_kind_of_segment(tmp_path: Path) -> None:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    reader = HubReader.of_folder(byte_level(tmp_path, "roberta", special, max_position_embeddings=40))
    one, two = reader.pieces("the cat").ids, reader.pieces("cat").ids
    frame = reader.frame(one, two)
    assert frame.ids.tolist() == [0, *one, 2, 2, *two, 2]
    assert not frame.segments.any()
    assert frame.begins == (1, 5)
    assert reader.frame_cost(2) == 4 and reader.frame_cost(1) == 2


def test_a_llama_begins_with_its_own_token_or_with_the_end_of_what_was_before(tmp_path: Path) -> None:
    sizes = {"hidden_act": "silu", "max_position_embeddings": 64}
    folder = byte_level(tmp_path, "llama", ["<s>", "</s>"], **sizes)
    assert HubReader.of_folder(folder).frame(np.array([7])).ids.tolist() == [0, 7, 1]
    folder = byte_level(tmp_path, "llama", ["</s>"], **sizes)
    assert HubReader.of_folder(folder).frame(np.array([7])).ids.tolist() == [0, 7, 0]
    folder = byte_level(tmp_path, "llama", ["<a>", "<b>"], bos_token_id=None, eos_token_id=[1, 0], **sizes)
    assert HubReader.of_folder(folder).frame(np.array([7])).ids.tolist() == [1, 7, 1]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("merges.txt", "#version: 0.2\nh e\nt h e\n", r"merges\.txt:3 is damaged"),
        ("merges.txt", "h\n", r"merges\.txt:1 is damaged"),
        ("merges.txt", "q q\n", r"merges\.txt does not fit vocab\.json"),
        ("vocab.json", '{"a": "1"}', r"vocab\.json is damaged: expected a whole number"),
        ("vocab.json", "[]", r"vocab\.json is damaged: expected a JSON object"),
    ],
)
def test_damaged_files_of_byte_pairs_are_named(tmp_path: Path, file: str, text: str, said: str) -> None:
    folder = byte_level(tmp_path, "gpt2", ["<|endoftext|>"], eos_token_id=0)
    (folder / file).write_text(text)
    with pytest.raises(DamagedFileError, match=said):
        HubReader.of_folder(folder)


# --- tokenizer.json ---


def test_what_cuts_pads_or_trims_is_left_aside(bert: Path) -> None:
    plain = HubReader.of_folder(bert)
    plain.save(bert)
    tokenizer = rust.Tokenizer.from_file(str(bert / "tokenizer.json"))
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9)
    tokenizer.post_processor = rust.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(bert / "tokenizer.json"))
    (bert / "vocab.txt").unlink()
    reader = HubReader.of_folder(bert)
    assert reader.pieces("the cat sat down").ids.tolist() == plain.pieces("the cat sat down").ids.tolist()


def test_a_reader_is_kept_and_read_back(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    reader, folder = HubReader.of_folder(bert), tmp_path_factory.mktemp("run")
    reader.save(folder)
    again = HubReader.load(folder)
    assert (again.framing, again.vocab_size) == (reader.framing, len(WORDS))
    assert spelled(again, "The cat's Café", WORDS) == spelled(reader, "The cat's Café", WORDS)
    assert sorted(path.name for path in folder.iterdir()) == ["reader.json", "tokenizer.json"]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("reader.json", "{}", r"reader\.json is damaged: opening is no list of ids"),
        ("reader.json", '{"opening": [2], "between": [3], "closing": ["3"]}', "closing is no list of ids"),
        ("reader.json", '{"opening": [2], "between": [3], "closing": [3]}', "has_segments or vocab_size is missing"),
        (
            "reader.json",
            '{"opening": [2], "between": [3], "closing": [3], "has_segments": true, "vocab_size": 4}',
            r"tokenizer\.json is damaged: it gives ids up to 17, and the network has 4",
        ),
        ("tokenizer.json", "{", r"tokenizer\.json is damaged: its tokenizer\.json is not valid JSON"),
        ("tokenizer.json", "[]", "has no model"),
        ("tokenizer.json", '{"model": {"type": "?"}}', "the tokenizers library does not accept it"),
    ],
)
def test_a_kept_reader_that_is_damaged_is_named(bert: Path, file: str, text: str, said: str) -> None:
    HubReader.of_folder(bert).save(bert)
    (bert / file).write_text(text)
    with pytest.raises(DamagedFileError, match=said):
        HubReader.load(bert)


def test_a_kept_reader_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"reader\.json is missing"):
        HubReader.load(tmp_path)


def test_ids_beyond_the_network_are_refused(bert: Path) -> None:
    write_json(bert / "config.json", BERT | {"vocab_size": 10})
    with pytest.raises(ConfigError, match="gives ids up to 17, and the network has 10"):
        HubReader.of_folder(bert)


@pytest.mark.parametrize(("held", "said"), [((), r"no tokenizer\.json;"), (("tokenizer.model",), "another format")])
def test_a_folder_without_a_tokenizer_says_how_to_make_one(tmp_path: Path, held: tuple[str, ...], said: str) -> None:
    write_json(tmp_path / "config.json", BERT)
    for name in held:
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=said) as caught:
        HubReader.of_folder(tmp_path)
    assert "AutoTokenizer" in str(caught.value)


def test_a_tokenizer_that_the_library_refuses_is_named(bert: Path) -> None:
    (bert / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(ConfigError, match="has a tokenizer that cannot be used"):
        HubReader.of_folder(bert)


def test_words_that_no_token_can_stand_for_are_a_fault_of_the_source(bert: Path) -> None:
    tree = {"model": {"type": "WordLevel", "vocab": {word: id for id, word in enumerate(WORDS)}, "unk_token": "<none>"}}
    write_json(bert / "tokenizer.json", {"version": "1.0", "added_tokens": [], **tree})
    with pytest.raises(SourceError, match="cannot read a text"):
        HubReader.of_folder(bert).pieces("strange")


def test_a_lone_surrogate_is_refused_in_words(bert: Path) -> None:
    with pytest.raises(SourceError, match=r"lone surrogate U\+D800"):
        HubReader.of_folder(bert).pieces("cat \ud800")
