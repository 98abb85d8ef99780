from pathlib import Path

import numpy as np
import pytest

from atinuke.data.corpus import TextEncoder
from atinuke.data.example_set import ExampleRows, ExampleSet, Ragged, write_examples
from atinuke.data.example_sources import ExampleNotes
from atinuke.data.examples import Example, Examples, ExampleSplit, PictureShape
from atinuke.errors import DamagedFileError, RunFolderError, SourceError


def picture(value: int) -> Example:
    return Example("picture", np.full((2, 3, 1), value, np.uint8), f"p{value}")


def sound(length: int, question: str = "") -> Example:
    return Example("sound", np.linspace(0, 1, length, dtype=np.float32), "long" if length > 3 else "short", question)


TRAIN = [picture(4), sound(3), Example("text", "good film", "yes", "Liked?"), sound(7, "How long?"), picture(250)]
HELD_OUT = [picture(9), Example("text", "bäd", "no")]


def written(folder: Path, tokenizer: TextEncoder, max_tokens: int | None = None) -> ExampleSet:
    notes = ExampleNotes()
    notes.skip("a.png", "broken")
    notes.change("b.png", "resized to 2 × 3 pixels")
    examples = Examples(("pets", "words.csv"), TRAIN, notes, PictureShape(2, 3, 1), 8000)
    return write_examples(ExampleSplit(TRAIN, HELD_OUT, 5), examples, tokenizer, folder, max_tokens=max_tokens)


def content(rows: ExampleRows, row: int) -> np.ndarray:
    assert rows.content is not None
    return rows.content[row]


def spelled(ids: np.ndarray) -> str:
    return bytes(ids.astype(np.uint8)).decode()


def test_what_is_written_is_what_is_read(tmp_path: Path, byte_tokenizer: TextEncoder) -> None:
    written(tmp_path / "data", byte_tokenizer)
    examples = ExampleSet.open(tmp_path / "data")
    assert examples.labels == ("long", "no", "p250", "p4", "p9", "short", "yes")
    assert [spelled(examples.answers[place]) for place in range(7)] == list(examples.labels)
    assert list(examples.train) == ["picture", "sound", "text"] and list(examples.held_out) == ["picture", "text"]
    pictures, sounds, texts = examples.train.values()
    assert [content(pictures, row).tolist() for row in (0, 1)] == [row.content.tolist() for row in (TRAIN[0], TRAIN[4])]
    assert [content(sounds, row).tolist() for row in (0, 1)] == [row.content.tolist() for row in (TRAIN[1], TRAIN[3])]
    assert texts.content is None
    assert [examples.labels[label] for label in sounds.labels] == ["short", "long"]
    assert [spelled(sounds.prompts[row]) for row in (0, 1)] == ["", "How long?"]
    assert spelled(texts.prompts[0]) == "good film\nLiked?"
    assert spelled(examples.held_out["text"].prompts[0]) == "bäd"
    assert [len(rows) for rows in (pictures, sounds, texts)] == [2, 2, 1]


def test_the_index_says_where_the_examples_came_from_and_what_became_of_them(
    tmp_path: Path, byte_tokenizer: TextEncoder
) -> None:
    index = written(tmp_path / "data", byte_tokenizer).index
    assert index.sources == ("pets", "words.csv") and index.held_out_sources == ()
    assert index.train_rows == {"picture": 2, "sound": 2, "text": 1} and index.held_out_rows == {
        "picture": 1,
        "text": 1,
    }
    assert index.picture == PictureShape(2, 3, 1) and index.sample_rate_hz == 8000 and index.longest_sound == 7
    assert index.longest_row == len("good film\nLiked?") + 1 + len("yes")
    assert (index.removed, index.skipped, index.named_skips) == (5, 1, (("a.png", "broken"),))
    assert index.changes == {"resized to 2 × 3 pixels": 1} and index.end_id == 256


def test_texts_lose_their_end_to_fit_and_questions_that_do_not_fit_are_left_out(
    tmp_path: Path, byte_tokenizer: TextEncoder
) -> None:
    # "\nLiked?" (7), the end (1) and "yes" (3) leave 2 of 13 for the text; "How long?", the end and "long" need 14.
    examples = written(tmp_path / "data", byte_tokenizer, max_tokens=13)
    assert spelled(examples.train["text"].prompts[0]) == "go\nLiked?"
    assert (examples.index.shortened, examples.index.too_long, examples.index.longest_row) == (1, 1, 13)
    assert examples.index.train_rows == {"picture": 2, "sound": 1, "text": 1}
    # One token less, and one letter of the text is left; two less, and the example goes.
    assert spelled(written(tmp_path / "data", byte_tokenizer, 12).train["text"].prompts[0]) == "g\nLiked?"
    assert "text" not in written(tmp_path / "data", byte_tokenizer, 11).train


def test_nothing_left_is_an_error_and_leaves_no_folder(tmp_path: Path, byte_tokenizer: TextEncoder) -> None:
    with pytest.raises(SourceError, match=r"No example is left: .* max_tokens, which is 2"):
        written(tmp_path / "data", byte_tokenizer, max_tokens=2)
    assert list(tmp_path.iterdir()) == []


def test_the_fingerprint_changes_with_the_data_alone(tmp_path: Path, byte_tokenizer: TextEncoder) -> None:
    first, again = written(tmp_path / "a", byte_tokenizer), written(tmp_path / "b", byte_tokenizer)
    other = written(tmp_path / "c", byte_tokenizer, max_tokens=13)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert ExampleSet.open(tmp_path / "a").fingerprint == first.fingerprint


@pytest.mark.parametrize("name", ["train/picture.npy", "labels-values.npy", "labels.json", "held_out/text-labels.npy"])
@pytest.mark.parametrize("harm", ["changed", "cut", "gone"])
def test_damage_is_told_with_the_name_of_the_file(
    name: str, harm: str, tmp_path: Path, byte_tokenizer: TextEncoder
) -> None:
    written(tmp_path / "data", byte_tokenizer)
    path = tmp_path / "data" / name
    data = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if harm == "changed" else data[:-1])
    with pytest.raises(DamagedFileError, match=rf"{Path(name).name} is .*Delete .*data and run the same command again"):
        ExampleSet.open(tmp_path / "data")


@pytest.mark.parametrize("name", ["train/picture.npy", "train/sound-ends.npy", "train/text-prompts-values.npy"])
def test_an_array_that_is_cut_off_is_told_even_without_checking_all_sums(
    name: str, tmp_path: Path, byte_tokenizer: TextEncoder
) -> None:
    written(tmp_path / "data", byte_tokenizer)
    path = tmp_path / "data" / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedFileError, match=f"{path.name} is missing or damaged"):
        ExampleSet.open(tmp_path / "data", verify=False)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="none does not exist; expected the examples of a run"):
        ExampleSet.open(tmp_path / "none")


def test_ragged_rows_keep_their_edges(tmp_path: Path) -> None:
    rows = [np.array(row, dtype=np.float32) for row in ([1, 2], [], [3])]
    ragged = Ragged.of(rows, "float32")
    ragged.save(tmp_path, "it")
    again = Ragged.load(tmp_path, "it")
    assert [row.tolist() for row in again] == [again[row].tolist() for row in range(3)] == [[1, 2], [], [3]]
    assert again.lengths.tolist() == [2, 0, 1] and again.values.dtype == np.float32
    assert len(Ragged.of([], "uint32")) == 0
