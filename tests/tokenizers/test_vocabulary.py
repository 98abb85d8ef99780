"""The file: what is written comes back, and what is not ours or was changed is refused by name, in one line."""

import functools
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from atinuke.errors import AtinukeError, DamagedFileError, RunFolderError
from atinuke.tokenizers import KINDS, Tokenizer, train_tokenizer
from atinuke.tokenizers.vocabulary import BYTE_CHARS, NotOurs, Vocabulary, read_vocabulary

TEXT = "The cat sat on the mat -- the cat, the mat, a hat.\n\n<|end|> <0x41> 1984 “ẹ̀kọ́” 😀\n"


@functools.cache
def trained(kind: str) -> Tokenizer:
    return train_tokenizer(kind, [TEXT * 9], None if kind == "char" else 300)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_tokenizer_loads_as_itself(kind: str, tmp_path: Path) -> None:
    tokenizer, path = trained(kind), tmp_path / "tokenizer.json"
    tokenizer.save(path)
    loaded = Tokenizer.load(path)
    assert (loaded.kind, loaded.vocab_size, loaded.unknown_id) == (kind, tokenizer.vocab_size, tokenizer.unknown_id)
    assert loaded.encode(TEXT).tolist() == tokenizer.encode(TEXT).tolist()
    assert loaded.fingerprint() == tokenizer.fingerprint() == hashlib.sha256(path.read_bytes()).hexdigest()
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_different_tokenizers_have_different_fingerprints() -> None:
    assert len({trained(kind).fingerprint() for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_is_found_again_after_the_library_saved_the_file_its_own_way(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    trained(kind).save(path)
    tokenizers.Tokenizer.from_file(str(path)).save(str(path), pretty=False)
    assert Tokenizer.load(path).kind == kind
    assert Tokenizer.load(path).encode(TEXT).tolist() == trained(kind).encode(TEXT).tolist()


def test_the_byte_alphabet_is_that_of_the_library() -> None:
    assert sorted(BYTE_CHARS) == sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    assert BYTE_CHARS[0x20] == "Ġ" and BYTE_CHARS[0x0A] == "Ċ" and BYTE_CHARS[0x41] == "A"


def refusal(path: Path) -> AtinukeError:
    with pytest.raises(AtinukeError) as caught:
        Tokenizer.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert "train again" in str(caught.value)
    return caught.value


def test_a_missing_file_is_named() -> None:
    assert type(refusal(Path("nowhere/tokenizer.json"))) is RunFolderError


def test_a_folder_is_named(tmp_path: Path) -> None:
    assert type(refusal(tmp_path)) is DamagedFileError


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_file_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    trained(kind).save(path)
    whole = path.read_bytes()
    for length in [0, 1, len(whole) // 3, len(whole) // 2, len(whole) - 3]:
        path.write_bytes(whole[:length])
        assert type(refusal(path)) is DamagedFileError


@pytest.mark.parametrize("kind", KINDS)
def test_one_changed_letter_in_a_piece_is_told_from_a_foreign_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    trained(kind).save(path)
    path.write_text(path.read_text(encoding="utf-8").replace('"😀"', '"😁"').replace("cat", "cut"), encoding="utf-8")
    assert "its vocabulary differs from its checksum" in str(refusal(path))


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_named_unless_it_changes_nothing(kind: str, tmp_path: Path) -> None:
    """White space between values is all that may change; any letter of a piece, a score or a setting is caught."""
    path = tmp_path / "tokenizer.json"
    trained(kind).save(path)
    whole = path.read_bytes()
    chance = random.Random(kind)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            loaded = Tokenizer.load(path)
        except DamagedFileError as error:
            assert str(path) in str(error)
        else:
            assert json.loads(damaged) == json.loads(whole)
            assert loaded.encode(TEXT).tolist() == trained(kind).encode(TEXT).tolist()


@pytest.mark.parametrize(
    "content",
    [
        *("null", "[]", "{}", "7", '"text"', '{"version": "1.0"}', "[" * 100_000, "9" * 5000, "NaN"),
        *(
            '{"model": 1, "pre_tokenizer": 2}',
            '{"model": {}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": []}}',
        ),
    ],
)
def test_json_that_is_no_tokenizer_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    assert type(refusal(tmp_path / "tokenizer.json")) is DamagedFileError


def word_piece() -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer(tokenizers.models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))


def byte_level() -> tokenizers.Tokenizer:
    found = tokenizers.Tokenizer(tokenizers.models.BPE({char: id for id, char in enumerate(BYTE_CHARS)}, []))
    found.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    found.decoder = tokenizers.decoders.ByteLevel()
    return found


def with_special_tokens() -> tokenizers.Tokenizer:
    ours = trained("bpe")._vocabulary.build()
    ours.add_special_tokens(["<|end|>"])
    return ours


def with_lower_case() -> tokenizers.Tokenizer:
    ours = trained("bpe")._vocabulary.build()
    ours.normalizer = tokenizers.normalizers.Lowercase()
    return ours


@pytest.mark.parametrize("make", [word_piece, byte_level, with_special_tokens, with_lower_case])
def test_a_foreign_tokenizer_is_named(make: Any, tmp_path: Path) -> None:
    make().save(str(tmp_path / "tokenizer.json"))
    assert type(refusal(tmp_path / "tokenizer.json")) is DamagedFileError


def forged(kind: str, **changes: Any) -> str:
    """A file of which the checksum is right and the content is not."""
    vocabulary = trained(kind)._vocabulary
    tree = json.loads(vocabulary.build().to_str())
    wrong = Vocabulary(**{**vars(vocabulary), **changes})
    if "pattern" in changes:
        tree["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = (
            "(?#atinuke bpe 0000000000000000)" + wrong.pattern
        )
    tree["model"]["vocab"] = {piece: id for id, piece in enumerate(wrong.pieces)}
    tree["model"]["merges"] = wrong.merges
    return json.dumps(tree).replace(vocabulary.checksum(), wrong.checksum()).replace("0" * 16, wrong.checksum())


def test_a_forged_checksum_does_not_get_nonsense_past_the_library() -> None:
    assert read_vocabulary(forged("bpe")) == trained("bpe")._vocabulary
    for changes in ({"merges": (("not", "there"),)}, {"pattern": "(unclosed"}):
        with pytest.raises(NotOurs, match="the tokenizers library does not accept it"):
            read_vocabulary(forged("bpe", **changes))
    pieces = trained("bpe")._vocabulary.pieces
    with pytest.raises(NotOurs, match="not written by Atinuke"):
        read_vocabulary(forged("bpe", pieces=(*pieces[1:], pieces[0])))


def test_a_panic_in_rust_is_a_refusal_and_an_interrupt_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})
    text = trained("bpe")._json
    for raised, expected in ((panic, NotOurs), (KeyboardInterrupt, KeyboardInterrupt)):

        def build(self: Vocabulary, raised: type[BaseException] = raised) -> None:
            raise raised()

        monkeypatch.setattr(Vocabulary, "build", build)
        with pytest.raises(expected):
            read_vocabulary(text)
