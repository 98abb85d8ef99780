"""How much memory reading takes: peak resident memory of a process that scans text and encodes it into shards.

    python benchmarks/reading_memory.py [--dir FOLDER] [--megabytes 2048] [--single] [--one-line]
                                        [--max-bytes N] [--out results.json]

The claim behind it: a 2 GB folder, or a single 2 GB file, is read within 1 GB of resident memory (RSS), and the peak
does not grow with the text. Made-up text is written below --dir and deleted afterwards. A child process then does what
`atinuke train` does before training: scan, BPE tokenizer of 1024 ids from a sample of 8 MB, shards. The system's own
figure for the child is reported (ru_maxrss), and beside it that of a child that only imports.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

MEGABYTE = 1_000_000
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # ru_maxrss counts bytes there, KiB elsewhere
SAMPLE_BYTES = 8 * MEGABYTE


def write_text(folder: Path, megabytes: int, *, single: bool, one_line: bool) -> None:
    """Files of 1 MB, or one file, of made-up words as frequent as real ones; no two files are alike."""
    letters = np.random.default_rng(0)
    words = np.array(["".join(letters.choice(list("etaoinshrdlucm"), 2 + number % 8)) for number in range(20_000)])
    weights = 1 / np.arange(1, len(words) + 1)
    weights /= weights.sum()
    for number in range(megabytes):
        chosen = np.random.default_rng([1, number]).choice(words, 260_000, p=weights)
        lines = (" ".join(chosen[start : start + 12]) for start in range(0, len(chosen), 12))
        text = (" " if one_line else "\n").join(lines)[: MEGABYTE - 1] + (" " if one_line else "\n")
        path = folder / "all.txt" if single else folder / f"{number:05}.txt"
        with open(path, "ab") as file:
            file.write(text.encode())


def read_and_encode(source: str, corpus: str, max_bytes: int | None) -> dict[str, object]:
    """What is measured; runs in the child."""
    from atinuke.data.corpus import write_corpus
    from atinuke.data.sources import Sources
    from atinuke.data.split import SplitRules, scan
    from atinuke.tokenizers import train_tokenizer

    sources = Sources([source])
    scanned = scan(sources, SplitRules(), sample_bytes=SAMPLE_BYTES)
    tokenizer = train_tokenizer("bpe", scanned.sample, 1024, sample_bytes=SAMPLE_BYTES)
    facts = write_corpus(sources, scanned, tokenizer, Path(corpus), max_bytes=max_bytes).facts
    return {key: facts[key] for key in ("documents", "train_bytes", "train_tokens", "validation_bytes")}


def only_import(*_: object) -> dict[str, object]:
    """The share of the peak that is Python and its libraries."""
    import atinuke.data.corpus
    import atinuke.tokenizers

    return {"imported": [atinuke.data.corpus.__name__, atinuke.tokenizers.__name__]}


def peak(work: Callable[..., dict[str, object]], *arguments: object) -> dict[str, object]:
    """What `work` returns in a process of its own, with the seconds and the peak memory of that process."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("spawn").Process(target=_report, args=(sender, work, arguments))
    child.start()
    sender.close()
    result: dict[str, object] = receiver.recv()
    child.join()
    return result


def _report(sender: Connection, work: Callable[..., dict[str, object]], arguments: tuple[object, ...]) -> None:
    started_s = time.perf_counter()
    facts = work(*arguments)
    elapsed_s = round(time.perf_counter() - started_s, 1)
    peak_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / MEGABYTE, 1)
    sender.send({"peak_rss_mb": peak_mb, "elapsed_s": elapsed_s, **facts})


def main() -> None:
    """Writes the text, measures, deletes it, and prints the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--dir", type=Path, default=Path(tempfile.gettempdir()), help="Where the text and the shards go meanwhile."
    )
    parser.add_argument("--megabytes", type=int, default=2048)
    parser.add_argument("--single", action="store_true", help="One file instead of files of 1 MB.")
    parser.add_argument("--one-line", action="store_true", help="Without new lines.")
    parser.add_argument("--max-bytes", type=int, help="Encode so much of the training text only.")
    parser.add_argument("--out", type=Path, help="Write the results there too.")
    options = parser.parse_args()
    options.dir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=options.dir))
    try:
        text = folder / "text"
        text.mkdir()
        write_text(text, options.megabytes, single=options.single, one_line=options.one_line)
        results = {
            "date": time.strftime("%Y-%m-%d"),
            "asked": {key: value for key, value in vars(options).items() if key not in ("dir", "out")},
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "system": platform.system(),
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("atinuke", "tokenizers", "numpy")},
            "text_mb": options.megabytes,
            "only_import": peak(only_import),
            "scan_and_encode": peak(read_and_encode, str(text), str(folder / "corpus"), options.max_bytes),
        }
    finally:
        shutil.rmtree(folder)
    print(json.dumps(results, indent=2))
    if options.out is not None:
        options.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
