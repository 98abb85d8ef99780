"""A tuned network and examples → one prediction for each."""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from atinuke.generate.beam import evaluating
from atinuke.tasks.body import Said, Tuned
from atinuke.tasks.rows import batch_of
from atinuke.tasks.task import E, Row, Task
from atinuke.tokenizers.reading import Reader
from atinuke.train.lessons.lesson import Autocast

Outputs = tuple[NDArray[Any], ...]
TOKENS_PER_BATCH = 4096


def predict(
    model: Tuned,
    task: Task[E],
    examples: Sequence[E],
    reader: Reader,
    max_tokens: int,
    autocast: Autocast,
    say: Callable[[str], None] = lambda _: None,
) -> list[Any]:
    """What the model says of each example, in order; JSON. Batches change how much is done at once, not the result."""
    found = _one_pass(model, task, examples, reader, max_tokens, autocast, say)
    if not task.needs_two_passes:
        return found
    asked = task.second_pass(examples, found)
    return task.join_passes(examples, found, asked, _one_pass(model, task, asked, reader, max_tokens, autocast, say))


def _one_pass(
    model: Tuned,
    task: Task[E],
    examples: Sequence[E],
    reader: Reader,
    max_tokens: int,
    autocast: Autocast,
    say: Callable[[str], None],
) -> list[Any]:
    rows = [
        row
        for number, example in enumerate(examples)
        for row in task.rows(number, example, reader, max_tokens, with_targets=False)
    ]
    if not rows:
        return task.decode(examples, rows, [])
    head = task.name if task.name in model.heads or task.borrows is None else task.borrows
    outputs: list[Outputs] = [()] * len(rows)
    with evaluating(model), autocast():
        for numbers in _batches(rows, task.group):
            said = _ask(model, [rows[number] for number in numbers], head)
            if task.group:
                outputs[numbers[0]] = said
                continue
            for place, number in enumerate(numbers):
                outputs[number] = tuple(each[place] for each in said)
    return task.decode(examples, rows, outputs)


def _ask(model: Tuned, rows: Sequence[Row], name: str) -> Outputs:
    """What the head of this name gives for a batch, as arrays; numbers with fractions in float32."""
    device = next(model.parameters()).device
    batch = batch_of(rows, name).to(device)
    said: Said = model(*batch.inputs)
    tensors = said.output if isinstance(said.output, tuple) else (said.output,)
    return tuple(_array(each) for each in tensors)


def _array(tensor: Tensor) -> NDArray[Any]:
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()


def _batches(rows: Sequence[Row], group: bool) -> list[list[int]]:
    """Numbers of rows that are asked together: the rows of one example, or rows of like length."""
    if group:
        found: dict[int, list[int]] = {}
        for number, row in enumerate(rows):
            found.setdefault(row.example, []).append(number)
        return list(found.values())
    batches: list[list[int]] = []
    for number in sorted(range(len(rows)), key=lambda number: -len(rows[number])):
        longest = len(rows[batches[-1][0]]) if batches else 0
        if batches and (len(batches[-1]) + 1) * longest <= TOKENS_PER_BATCH:
            batches[-1].append(number)
        else:
            batches.append([number])
    return batches
