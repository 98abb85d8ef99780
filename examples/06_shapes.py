"""What shape is it, and how many corners has it? Pictures and questions in one sequence, the answer written after them.

    python examples/06_shapes.py

Circles, triangles and squares of all sizes and places are drawn, 16 × 16 pixels each, and every one is asked about
twice. The network sees 16 patches, then the words of the question, then an end token, after which it answers.
Nothing in it is made for shapes, or for corners: the answers are text, so another question needs another line of data.
"""

import json
import random
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

import atinuke
from atinuke.generate.inputs import answer_inputs
from atinuke.generate.loading import load_trained

SIDE = 16
CORNERS = {"circle": "none", "triangle": "three", "square": "four"}
SETTINGS = {
    "model.model_dim": 32,
    "model.dropout": 0.0,
    "model.picture.height": SIDE,
    "model.picture.width": SIDE,
    "model.picture.channels": 1,
    "model.picture.patch": 4,
    "augment.elastic": 0.0,  # a bent square on 16 pixels is a circle
    "augment.rotation_deg": 0.0,
    "augment.shear": 0.0,
    "batch_seqs": 32,
    "optim.lr": 0.01,
    "optim.matrix_lr": 0.05,
    "resume": "fresh",
}


def draw(shape: str, chance: random.Random) -> Image.Image:
    """The outline of a shape, white on black, somewhere in the picture."""
    radius = chance.uniform(4, 6.5)
    x, y = (chance.uniform(radius, SIDE - 1 - radius) for _ in range(2))
    picture = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(picture)
    if shape == "triangle":
        pen.polygon([(x, y - radius), (x + radius, y + radius), (x - radius, y + radius)], outline=255)
    else:
        outline = pen.ellipse if shape == "circle" else pen.rectangle
        outline((x - radius, y - radius, x + radius, y + radius), outline=255)
    return picture


def write_examples(folder: Path, name: str, count: int, chance: random.Random) -> Path:
    """`count` pictures of each shape, and a listing with two questions about each."""
    rows = []
    for shape, corners in CORNERS.items():
        for number in range(count):
            file = f"{name}-{shape}-{number}.png"
            draw(shape, chance).save(folder / file)
            rows.append({"picture": file, "question": "which shape?", "label": shape})
            rows.append({"picture": file, "question": "how many corners?", "label": corners})
    listing = folder / f"{name}.jsonl"
    listing.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return listing


def as_text(picture: Image.Image) -> str:
    """Two signs for each pixel."""
    pixels = picture.load()
    rows = ("".join("██" if pixels[x, y] else "· " for x in range(SIDE)) for y in range(SIDE))
    return "\n".join(f"    {row.rstrip()}" for row in rows)


def main() -> None:
    """Trains on 120 drawings, counts the right answers about 30 others, and asks about three more."""
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = atinuke.train(
            examples=write_examples(folder, "known", 40, chance),
            held_out=write_examples(folder, "new", 10, chance),
            tokenizer="word",
            steps=160,
            out=folder / "run",
            settings=SETTINGS,
        )
        figures = run.summary["accuracy_by_kind"]["picture"]
        print(f"{run.summary['params']:,} parameters; {figures['right']} of {figures['total']} answers right\n")
        trained = load_trained(run.path)
        for shape in CORNERS:
            picture = draw(shape, chance)
            file = str(folder / f"{shape}.png")
            picture.save(file)
            print(as_text(picture))
            for question in ("which shape?", "how many corners?"):
                (answer,) = answer_inputs(trained, [file], question)
                sure = answer.facts["probabilities"][answer.facts["answer"]]
                print(f"    {question} {answer.facts['answer']} ({sure:.0%} sure)")
            print()


if __name__ == "__main__":
    main()
