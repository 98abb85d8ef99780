"""Open a run that was trained before: let it write under different rules, and look inside.

python examples/02_load_a_run.py runs/book "Once upon a time"
"""

import argparse

import torch

import atinuke


def main() -> None:
    """Shows three ways of writing on, and the likeliest next tokens with their probabilities."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="run folder, as 01_train_and_generate.py or atinuke train made it")
    parser.add_argument("prompt", nargs="?", default="Once")
    args = parser.parse_args()

    run = atinuke.load(args.run)
    print(run)

    print("\nAlways the likeliest token:", repr(run.generate(args.prompt, tokens=40, temperature=0)))
    print("From all that together hold 90 %:", repr(run.generate(args.prompt, tokens=40, temperature=1, top_p=0.9)))
    print("Up to the end of the line:", repr(run.generate(args.prompt, stop="\n")))

    # the network is an ordinary nn.Module: token ids (B, T) in, logits (B, T, V) out
    ids = run.tokenizer.encode(args.prompt)[-run.network.context :]
    tokens = torch.tensor([ids.tolist() or [run.tokenizer.end_id]], device=next(run.model.parameters()).device)
    with torch.no_grad():
        likeliest = run.model(tokens)[0, -1].softmax(-1).topk(5)
    print(f"\nAfter {args.prompt!r} come most likely:")
    for probability, token in zip(likeliest.values.tolist(), likeliest.indices.tolist(), strict=True):
        print(f"  {probability:6.1%}  {run.tokenizer.decode([token])!r}")


if __name__ == "__main__":
    main()
