"""Two ways to translate, learned from twelve sentences: a reader with a writer, and one network that does both.

    python examples/05_translate.py

The sentences are built from three who act, two things they do and three things it is done to, so that some
combinations can be left out and asked for afterwards. "Heute" at the front moves the German verb before the one who
acts: heute sieht das Kind den Ball, today the child sees the ball. Replacing word by word would get that wrong.
"""

import tempfile
from pathlib import Path

import atinuke
from atinuke.generate.loading import load_trained
from atinuke.generate.translating import Translator

PAIRS = [
    ("die Katze sieht den Ball", "the cat sees the ball"),
    ("die Katze sieht das Haus", "the cat sees the house"),
    ("heute sucht die Katze den Ball", "today the cat looks for the ball"),
    ("die Katze sucht den Vogel", "the cat looks for the bird"),
    ("der Hund sieht den Vogel", "the dog sees the bird"),
    ("heute sieht der Hund das Haus", "today the dog sees the house"),
    ("der Hund sucht den Ball", "the dog looks for the ball"),
    ("heute sucht der Hund den Vogel", "today the dog looks for the bird"),
    ("das Kind sieht den Ball", "the child sees the ball"),
    ("heute sieht das Kind den Vogel", "today the child sees the bird"),
    ("das Kind sieht das Haus", "the child sees the house"),
    ("heute sucht das Kind das Haus", "today the child looks for the house"),
]
NEVER_SEEN = [
    ("die Katze sieht den Vogel", "the cat sees the bird"),
    ("heute sucht der Hund den Ball", "today the dog looks for the ball"),
    ("heute sieht das Kind das Haus", "today the child sees the house"),
]
NETWORKS = {
    "seq2seq": "An encoder reads all of the source, a decoder writes the target and looks back at it:",
    "gpt": "One network, one sequence: source, end token, target, end token:",
}
SETTINGS = {"model.model_dim": 64, "model.layer_count": 2, "model.dropout": 0.1, "batch_tokens": 64, "resume": "fresh"}


def write_pairs(path: Path, pairs: list[tuple[str, str]]) -> Path:
    """One pair a line: source, tab, target."""
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), encoding="utf-8")
    return path


def show(translator: Translator, pairs: list[tuple[str, str]]) -> int:
    """Prints what becomes of each source; how many come out as in `pairs`."""
    found = list(translator.translate([source for source, _ in pairs]))
    for (source, target), written in zip(pairs, found, strict=True):
        print(f"    {source:31} → {written}{'' if written == target else f'   (should be: {target})'}")
    return sum(written == target for (_, target), written in zip(pairs, found, strict=True))


def main() -> None:
    """Trains each network for 120 steps, and asks for all sentences, known and new."""
    with tempfile.TemporaryDirectory() as folder:
        known = write_pairs(Path(folder, "known.tsv"), PAIRS)
        new = write_pairs(Path(folder, "new.tsv"), NEVER_SEEN)
        for kind, idea in NETWORKS.items():
            run = atinuke.train(
                pairs=known,
                held_out=new,
                model=kind,
                tokenizer="word",
                steps=120,
                out=Path(folder, kind),
                settings=SETTINGS,
            )
            translator = Translator.of_run(load_trained(run.path))
            print(f"{idea} {run.summary['params']:,} parameters.\n  sentences that it learned from")
            right = show(translator, PAIRS)
            print(f"  {right} of {len(PAIRS)} right\n  sentences that it never saw")
            print(f"  {show(translator, NEVER_SEEN)} of {len(NEVER_SEEN)} right\n")


if __name__ == "__main__":
    main()
