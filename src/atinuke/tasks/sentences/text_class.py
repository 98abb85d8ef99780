"""Text classification, sentiment among it, from anybody's tables: labels are what the data has.

A table is a .csv, .tsv, .tab or .jsonl file, plain or compressed, with the columns text and label, or text1, text2 and
label. In the folder lie train, dev and test under these names (valid, val and validation count as dev); or there is
one table alone, of which a tenth is held out.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from atinuke.data.documents import shown
from atinuke.data.picking import hash64
from atinuke.data.rows import RowNotes
from atinuke.durable import printable
from atinuke.errors import ConfigError, SourceError
from atinuke.tasks.sentences.answers import Answers, Labels
from atinuke.tasks.sentences.described import Submission
from atinuke.tasks.sentences.sentence_task import SentenceTask
from atinuke.tasks.sentences.texts import COMPRESSED, TextExample, in_one_line, present
from atinuke.tasks.tsv import TextTable, read_csv, read_json_lines

NAMES = {"train": ("train",), "dev": ("dev", "valid", "validation", "val"), "test": ("test",)}
TABLES = (".csv", ".tsv", ".tab", ".jsonl")
HELD_OUT_FRACTION = 0.1


class TextClass(SentenceTask):
    """Classes of texts, or of pairs of texts."""

    name = "text-class"
    title = "Text classification"
    items = "texts"
    metrics = ("accuracy", "macro_f1")
    fetch = (
        "Give a table (.csv, .tsv or .jsonl) with the columns text and label, or text1, text2 and label; or a folder "
        "with train, dev and test tables."
    )
    submission = Submission("predictions.tsv")

    def __init__(self, answers: Answers, *, is_pair: bool) -> None:
        super().__init__(answers)
        self.is_pair = is_pair

    @property
    def facts(self) -> dict[str, Any]:
        return super().facts | {"is_pair": self.is_pair}

    @classmethod
    def read(cls, data: Path, split: str, notes: RowNotes) -> list[TextExample]:
        return read_texts(data, split, notes)

    @classmethod
    def learn(cls, examples: Sequence[TextExample]) -> Self:
        return cls(Labels.seen_in(examples), is_pair=any(example.second is not None for example in examples))

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        return cls(Labels.from_facts(facts, are_all=False), is_pair=facts["is_pair"])


def read_texts(data: Path, split: str, notes: RowNotes) -> list[TextExample]:
    """The texts of a split. A row without text or, but for the test split, without label is skipped and counted."""
    if split not in NAMES:
        raise ConfigError(f"{TextClass.title} has no split {shown(split)}; it has {', '.join(NAMES)}.")
    if not os.path.exists(data):
        raise SourceError(f"{printable(data)} does not exist. {TextClass.fetch}")
    named = _named(data, split)
    if named is None and split == "test":
        raise SourceError(f"{printable(data)} has no test table; expected test.csv, test.tsv or test.jsonl in it.")
    if named is not None and split != "train":
        return _read_table(named, split, notes)
    whole = _named(data, "train") or _only_table(data)
    texts = _read_table(whole, split, notes)
    if _named(data, "dev") is not None:
        return texts
    train, held_out = hold_out(texts)
    if not held_out:
        raise SourceError(
            f"{printable(whole)} gives too few texts ({len(texts):,}) to spare one to score with. Give more, or a "
            "dev table beside it."
        )
    if split == "dev":
        notes.remarks.append(f"Held out {len(held_out):,} of the {len(texts):,} texts in {printable(whole)}.")
    return train if split == "train" else held_out


def hold_out(examples: Sequence[TextExample]) -> tuple[list[TextExample], list[TextExample]]:
    """What is trained on, and a tenth that is not: the texts with the smallest hashes, whatever their order.

    Equal texts fall on the same side, and of each label one at least stays to be trained on.
    """
    groups: dict[bytes, list[int]] = {}
    for number, example in enumerate(examples):
        groups.setdefault("\0".join((example.first, example.second or "")).encode(), []).append(number)
    left = Counter(example.answer for example in examples)
    most = max(1, round(HELD_OUT_FRACTION * len(examples)))
    chosen: set[int] = set()
    for key in sorted(groups, key=lambda key: (hash64(key), key)):
        asked = Counter(examples[number].answer for number in groups[key])
        if len(chosen) + len(groups[key]) <= most and all(left[answer] > count for answer, count in asked.items()):
            chosen.update(groups[key])
            left -= asked
    train = [example for number, example in enumerate(examples) if number not in chosen]
    return train, [examples[number] for number in sorted(chosen)]


def _named(data: Path, split: str) -> Path | None:
    for name in NAMES[split]:
        for ending in TABLES:
            found = present(data / f"{name}{ending}")
            if found is not None:
                return found
    return None


def _only_table(data: Path) -> Path:
    """The file that `data` is, or the one table in that folder."""
    if not os.path.isdir(data):
        return data
    endings = tuple(ending + compressed for ending in TABLES for compressed in COMPRESSED)
    others = {_named(data, split) for split in NAMES}
    try:
        names = sorted(name for name in os.listdir(data) if name.lower().endswith(endings) and name[0] != ".")
    except OSError as error:
        raise SourceError(f"{printable(data)} cannot be read: {error.strerror}.") from error
    tables = [data / name for name in names if data / name not in others]
    if len(tables) != 1:
        there = f"{len(tables)} tables" if tables else "no table"
        raise SourceError(f"{printable(data)} has {there} besides dev and test, none named train. {TextClass.fetch}")
    return tables[0]


def _read_table(path: Path, split: str, notes: RowNotes) -> list[TextExample]:
    table = _open(path, notes)
    is_pair = "text1" in table.columns or "text2" in table.columns
    columns = ("text1", "text2") if is_pair else ("text",)
    table.require(*columns)
    if split != "test":
        table.require("label")
    has_id = "index" in table.columns
    examples = []
    for number, row in enumerate(table.rows):
        texts = [row[column].strip() for column in columns]
        label = in_one_line(row.cells.get("label", ""))
        if not all(texts):
            notes.skip("no text", str(row.spot))
        elif not label and split != "test":
            notes.skip("no label", str(row.spot))
        else:
            examples.append(
                TextExample(
                    id=in_one_line(row["index"]) if has_id else str(number),
                    first=texts[0],
                    second=texts[1] if is_pair else None,
                    answer=label or None,
                    split=split,
                    spot=row.spot,
                )
            )
    if not examples:
        reasons = "; ".join(f"{reason}: {count:,}" for reason, count in notes.counts.items())
        raise SourceError(f"{printable(path)} gives no texts ({reasons or 'no rows below its header'}).")
    return examples


def _open(path: Path, notes: RowNotes) -> TextTable:
    name = path.name.lower()
    is_json = any(name.endswith(f".jsonl{compressed}") for compressed in COMPRESSED)
    return read_json_lines(path, notes) if is_json else read_csv(path, notes)
