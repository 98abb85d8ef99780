"""Humpty Dumpty, letter by letter: a network that sees the last few characters learns a rhyme by heart.

    python examples/04_humpty_dumpty.py

How far it can see decides what it can know. After "the king's " come both "horses" and "men": a network that sees
eight characters cannot tell which line it is in, and no training helps. How much such places cost can be counted in
the text, without any network; the trained one is then held against that count.
"""

import math
from collections import Counter, defaultdict

import torch

from atinuke.generate.config import SamplingRules
from atinuke.generate.decode import generate_ids
from atinuke.models.perceptron import Perceptron, TokenInput
from atinuke.train.objectives import next_token

RHYME = """\
Humpty Dumpty sat on a wall,
Humpty Dumpty had a great fall.
All the king's horses and all the king's men
Couldn't put Humpty together again.
"""
ALPHABET = sorted(set(RHYME))
"""A character's id is its place here."""
PROMPT = "Humpty Dumpt"
STEPS = 150


def least_loss(text: str, window: int) -> tuple[float, dict[str, Counter[str]]]:
    """Nats per character that no network can go below which sees `window` characters, and where it must guess.

    After each window, the best guess is what came after it how often: −ln of that share, averaged over the text.
    """
    following: dict[str, Counter[str]] = defaultdict(Counter)
    for place in range(1, len(text)):
        following[text[max(0, place - window) : place]][text[place]] += 1
    shares = [(times, times / after.total()) for after in following.values() for times in after.values()]
    nats = sum(times * math.log(1 / share) for times, share in shares)
    return nats / (len(text) - 1), {seen: after for seen, after in following.items() if len(after) > 1}


def train(model: Perceptron, ids: torch.Tensor) -> float:
    """The loss in nats per character after learning the whole rhyme STEPS times."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(STEPS + 1):
        loss = next_token(model(ids[:, :-1]), ids[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        if step < STEPS:
            optimizer.step()
    return loss.item()


def build(window: int, token_input: TokenInput) -> Perceptron:
    """A network with one hidden layer; the same seed for each, so that only what is asked for differs."""
    torch.manual_seed(0)
    return Perceptron(len(ALPHABET), model_dim=8, hidden_dim=64, layer_count=1, window=window, token_input=token_input)


def recite(model: Perceptron) -> str:
    """What follows the prompt, always taking the likeliest character, as long as the rhyme is."""
    ids = generate_ids(
        model,
        [ALPHABET.index(character) for character in PROMPT],
        tokens=len(RHYME) - len(PROMPT),
        rules=SamplingRules(temperature=0),
        generator=torch.Generator(),
        context=len(RHYME),
    )
    return PROMPT + "".join(ALPHABET[id] for id in ids)


def main() -> None:
    """Two windows, then three ways for a character to become numbers."""
    ids = torch.tensor([[ALPHABET.index(character) for character in RHYME]])
    print(f"{len(RHYME)} characters, {len(ALPHABET)} different ones: {PROMPT[:6]!r} is {ids[0, :6].tolist()}\n")

    for window in (8, 16):
        least, unclear = least_loss(RHYME, window)
        print(f"Seeing {window} characters:")
        for seen, after in unclear.items():
            print(f"  after {seen!r} come {dict(after)}")
        guesses, targets = sum(after.total() for after in unclear.values()), len(RHYME) - 1
        print(f"  {guesses} of {targets} characters are one of two, the rest certain: at least", end=" ")
        print(f"{guesses} × ln 2 / {targets} = {least:.4f} nats per character")
        model = build(window, "learned")
        print(f"  After {STEPS} steps this one is at {train(model, ids):.4f} and recites:\n")
        print(recite(model).rstrip() + "\n")

    print("How a character becomes numbers, with 16 in sight:")
    ways: dict[TokenInput, str] = {"integer": "1 number", "one-hot": f"{len(ALPHABET)} numbers", "learned": "8 numbers"}
    for token_input, numbers in ways.items():
        loss = train(build(16, token_input), ids)
        print(f"  {token_input:8} {numbers:10} each: {loss:.4f} nats per character after {STEPS} steps")


if __name__ == "__main__":
    main()
