"""Train a model on your own text, and let it write.

    python examples/01_train_and_generate.py book.txt --time 2m

Without a text it learns from the running Python's own standard library. The run folder holds everything that came of
it; 02_load_a_run.py goes on from there.
"""

import argparse

import atinuke


def main() -> None:
    """Trains, says how well it went, and shows what the model writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", help="file, folder, archive …; none: Python's own library")
    parser.add_argument("--time", default="1m", help="from this call to the saved model, such as 90s or 10m")
    parser.add_argument("--steps", type=int, help="instead of --time: optimizer steps")
    parser.add_argument("--prompt", default="Once")
    parser.add_argument("--out", help="run folder; none: runs/NAME")
    args = parser.parse_args()

    run = atinuke.train(args.source, time=None if args.steps else args.time, steps=args.steps, out=args.out)

    print(f"{run.path}: {run.summary['val_bpb']:.3f} bits per byte on text that it had not seen")
    for piece in run.stream(args.prompt, tokens=100, seed=1):
        print(piece, end="", flush=True)
    print()


if __name__ == "__main__":
    main()
