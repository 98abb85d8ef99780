"""Writes the text that all racers train on, and the text that all are scored on, to files: the split is `atinuke`'s.

CORPUS/train/00000.txt …        one file per document
CORPUS/validation/00000.txt …
CORPUS/corpus.json              where it came from, and how many bytes on either side
"""

import json
from collections.abc import Iterator
from pathlib import Path

from atinuke.data.documents import Document
from atinuke.data.sources import Sources
from atinuke.data.split import SplitRules, scan, training_documents


def export(source: Path, folder: Path) -> dict[str, object]:
    """The split of `source` in files below `folder`, made once; what corpus.json says."""
    listed = folder / "corpus.json"
    if listed.exists():
        return json.loads(listed.read_text(encoding="utf-8"))
    sources = Sources([str(source)])
    found = scan(sources, SplitRules(), sample_bytes=1_000_000)
    for side in ("train", "validation"):
        (folder / side).mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(found.validation):
        (folder / "validation" / f"{number:05}.txt").write_bytes(text.encode())
    written = _write_documents(training_documents(sources, found), folder / "train")
    assert written == found.train_bytes, (written, found.train_bytes)
    told = {
        "source": source.name,
        "is_single_text": found.is_single_text,
        "train_documents": found.train_documents,
        "train_bytes": found.train_bytes,
        "validation_documents": len(found.validation),
        "validation_bytes": found.validation_bytes,
    }
    listed.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return told


def _write_documents(documents: Iterator[Document], folder: Path) -> int:
    number = written = 0
    pending = bytearray()
    for document in documents:
        pending += document.text.encode()
        if document.is_last:
            (folder / f"{number:05}.txt").write_bytes(pending)
            written += len(pending)
            number, pending = number + 1, bytearray()
    return written
