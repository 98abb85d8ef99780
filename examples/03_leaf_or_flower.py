"""Leaf or flower? Four numbers, four products and a sum: a whole network that can be checked with a pencil.

    python examples/03_leaf_or_flower.py

What was found in the garden is described by red, green and blue (0 to 255) and a volume in cubic centimetres. A network
gives each class a score, and softmax makes probabilities of the scores. First with weights that a person chose, every
product printed; then with weights that the same network learns.
"""

import math

import torch

from atinuke.models import NumberPerceptron
from atinuke.train.objectives import classification

COLUMNS = ("red", "green", "blue", "volume")
CLASSES = ("leaf", "flower")
TRAINING = [
    ((48, 112, 40, 9), "leaf"),
    ((70, 150, 60, 14), "leaf"),
    ((95, 130, 50, 6), "leaf"),
    ((110, 90, 45, 12), "leaf"),
    ((230, 190, 30, 50), "flower"),
    ((215, 70, 140, 35), "flower"),
    ((245, 235, 225, 24), "flower"),
    ((150, 80, 190, 62), "flower"),
]
UNSEEN = [((85, 140, 55, 10), "leaf"), ((225, 105, 75, 40), "flower")]

HIDDEN_WEIGHTS = ((0.02, -0.01, 0.01, 0.1), (-0.01, 0.02, -0.01, -0.05))
HIDDEN_BIASES = (-2.0, 1.0)
OUTPUT_WEIGHTS = ((-0.5, 1.0), (0.5, -1.0))
OUTPUT_BIASES = (0.0, 0.5)
"""Chosen by a person: the first hidden number grows with red and volume, the second with green."""


def network() -> NumberPerceptron:
    """Four numbers → two hidden ones, negative ones cut off → one score for each class."""
    return NumberPerceptron(numbers=4, classes=2, hidden_dim=2, layer_count=1, activation="relu")


def with_chosen_weights() -> NumberPerceptron:
    """The network of the first part: nothing learned, nothing drawn."""
    model = network()
    values = (HIDDEN_WEIGHTS, HIDDEN_BIASES, OUTPUT_WEIGHTS, OUTPUT_BIASES)
    for parameter, value in zip(model.parameters(), values, strict=True):
        parameter.data.copy_(torch.tensor(value))
    return model


def spell_out(name: str, weights: tuple[float, ...], numbers: list[float], bias: float) -> float:
    """Prints weight × number + … + bias = sum, and gives the sum."""
    products = [weight * number for weight, number in zip(weights, numbers, strict=True)]
    written = " + ".join(f"({weight:g} × {number:.4g})" for weight, number in zip(weights, numbers, strict=True))
    # + 0.0: −0 is written as 0
    added = " + ".join(f"({product + 0.0:.4g})" for product in [*products, bias])
    print(f"  {name} = {written} + ({bias:g})\n           = {added} = {sum(products) + bias:.2f}")
    return sum(products) + bias


def show_by_hand(thing: tuple[int, ...]) -> list[float]:
    """Every product and sum from the four numbers to the two scores, without the network."""
    hidden = []
    for unit, (weights, bias) in enumerate(zip(HIDDEN_WEIGHTS, HIDDEN_BIASES, strict=True), start=1):
        total = spell_out(f"hidden {unit}", weights, list(thing), bias)
        hidden.append(max(0.0, total))
        print(f"             {'positive, so it stays' if total > 0 else 'negative, so it becomes 0'}")
    outputs = zip(CLASSES, OUTPUT_WEIGHTS, OUTPUT_BIASES, strict=True)
    return [spell_out(f"{name:8}", weights, hidden, bias) for name, weights, bias in outputs]


def train(model: NumberPerceptron, steps: int = 200) -> None:
    """Gradient descent on all rows at once, with a line at the beginning, and each time the steps have doubled."""
    numbers = torch.tensor([numbers for numbers, _ in TRAINING], dtype=torch.float32)
    classes = torch.tensor([CLASSES.index(name) for _, name in TRAINING])
    model.standardise(numbers)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for step in range(1, steps + 1):
        loss = classification(model(numbers), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in (1, 25, 50, 100, 200):
            print(f"  step {step:3}: {loss.item():.3f} nats per row")


def main() -> None:
    """The chosen weights by hand and by the network; then the learned ones on things not seen before."""
    model = with_chosen_weights()
    for thing, name in (TRAINING[0], TRAINING[4]):
        print(f"A {name}: " + ", ".join(f"{column} {number}" for column, number in zip(COLUMNS, thing, strict=True)))
        scores = show_by_hand(thing)
        raised = [math.exp(score) for score in scores]
        shares = [each / sum(raised) for each in raised]
        for score, each, share, label in zip(scores, raised, shares, CLASSES, strict=True):
            print(f"  {label:6}: e^{score:.2f} = {each:.4f}, which is {share:.1%} of {sum(raised):.4f}")
        probabilities = model(torch.tensor([thing], dtype=torch.float32)).softmax(-1)[0].tolist()
        print(f"  the network says: {probabilities[0]:.1%} {CLASSES[0]}, {probabilities[1]:.1%} {CLASSES[1]}\n")

    torch.manual_seed(1)
    learner = network()
    print(f"The same network learns its {sum(p.numel() for p in learner.parameters())} weights from eight rows:")
    train(learner)
    for thing, name in UNSEEN:
        probability = learner(torch.tensor([thing], dtype=torch.float32)).softmax(-1)[0].tolist()
        found = probability.index(max(probability))
        print(f"  never seen: {thing} is a {CLASSES[found]} ({probability[found]:.1%} sure); it is a {name}")


if __name__ == "__main__":
    main()
