from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from atinuke.data.augmenting import AugmentConfig
from atinuke.data.batches.batch import IGNORE, Batch
from atinuke.data.batches.examples import CYCLE, ExampleBatches, held_out_batches, sound_values
from atinuke.data.corpus import TextEncoder
from atinuke.data.example_set import ExampleSet, write_examples
from atinuke.data.example_sources import ExampleNotes
from atinuke.data.examples import Example, Examples, ExampleSplit, PictureShape
from atinuke.models.layers.prefix import Prefix

END = 256  # of the byte tokenizer


def picture(value: int, label: str = "ab") -> Example:
    return Example("picture", np.full((2, 3, 1), value, np.uint8), label)


def sound(value: float, length: int) -> Example:
    return Example("sound", np.full(length, value, np.float32), "c", "?")


def stored(
    folder: Path, tokenizer: TextEncoder, train: list[Example], held_out: list[Example] | None = None
) -> ExampleSet:
    examples = Examples(("made",), train, ExampleNotes(), PictureShape(2, 3, 1), 8000)
    return write_examples(ExampleSplit(train, held_out or train[:1], 0), examples, tokenizer, folder / "data")


def prefix_of(batch: Batch) -> Prefix:
    prefix = batch.inputs[3]
    assert isinstance(prefix, Prefix)
    return prefix


def all_rows(tokens: Tensor) -> list[list[int]]:
    return [row for row in tokens.tolist()]


def test_the_answer_to_a_picture_follows_the_end_and_ends_with_one(tmp_path: Path, byte_tokenizer: TextEncoder) -> None:
    examples = stored(tmp_path, byte_tokenizer, [picture(51), picture(255)])
    batch = ExampleBatches(examples, batch_rows=2, seed=0).batch(0)
    tokens, cache, mask, prefix, places = batch.inputs
    assert batch.targets.flatten()[places].tolist() == [
        id for row in all_rows(batch.targets) for id in row if id != IGNORE
    ]
    assert (cache, mask, prefix.kind, prefix.lengths) == (None, "causal", "picture", None)
    assert all_rows(tokens) == [[END, ord("a"), ord("b")]] * 2
    assert all_rows(batch.targets) == [[ord("a"), ord("b"), END]] * 2
    assert prefix.values.shape == (2, 1, 2, 3) and prefix.values.dtype == torch.float32
    assert sorted(prefix.values[:, 0, 0, 0].tolist()) == pytest.approx([0.2, 1])
    assert batch.target_count == 6 and (batch.position, batch.next_position) == (0, 1)


def test_channels_come_first_as_a_network_takes_them(tmp_path: Path, byte_tokenizer: TextEncoder) -> None:
    content = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    examples = stored(tmp_path, byte_tokenizer, [Example("picture", content, "x")])
    values = prefix_of(ExampleBatches(examples, batch_rows=1, seed=0).batch(0)).values
    assert (values[0] * 255).round().tolist() == content.transpose(2, 0, 1).tolist()


def test_a_text_stands_before_the_answer_and_is_not_asked_after(tmp_path: Path, byte_tokenizer: TextEncoder) -> None:
    rows = [Example("text", "xyz", "no"), Example("text", "w", "yes")]
    examples = stored(tmp_path, byte_tokenizer, rows)
    batch = ExampleBatches(examples, batch_rows=2, seed=0).batch(0)
    assert batch.inputs[3] is None
    found = dict(zip(map(tuple, all_rows(batch.inputs[0])), all_rows(batch.targets), strict=True))
    assert found == {
        (*b"xyz", END, *b"no"): [IGNORE] * 3 + [*b"no", END],
        (*b"w", END, *b"yes", END): [IGNORE, *b"yes", END, IGNORE],
    }
    assert batch.target_count == 7


def test_a_sound_is_padded_and_says_its_length_and_its_question_stands_first(
    tmp_path: Path, byte_tokenizer: TextEncoder
) -> None:
    examples = stored(tmp_path, byte_tokenizer, [sound(0.5, 2), sound(0.25, 4)])
    batch = ExampleBatches(examples, batch_rows=2, seed=0).batch(0)
    prefix = prefix_of(batch)
    assert prefix.kind == "sound" and prefix.lengths is not None
    assert sorted(zip(prefix.lengths.tolist(), prefix.values.tolist(), strict=True)) == [
        (2, [0.5, 0.5, 0, 0]),
        (4, [0.25] * 4),
    ]
    assert all_rows(batch.inputs[0]) == [[ord("?"), END, ord("c")]] * 2
    assert all_rows(batch.targets) == [[IGNORE, ord("c"), END]] * 2


def labels_seen(source: ExampleBatches, positions: range) -> list[int]:
    return [row[0] for position in positions for row in all_rows(source.batch(position).targets)]


def test_in_each_epoch_every_example_comes_once_in_another_order(tmp_path: Path, byte_tokenizer: TextEncoder) -> None:
    examples = stored(tmp_path, byte_tokenizer, [picture(number, chr(65 + number)) for number in range(20)])
    source = ExampleBatches(examples, batch_rows=5, seed=0)
    epochs = [labels_seen(source, range(4 * epoch, 4 * epoch + 4)) for epoch in range(3)]
    assert all(sorted(epoch) == list(range(65, 85)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    # A batch that reaches over the edge of an epoch: 8 rows at a time give the same rows one after the other.
    wider = ExampleBatches(examples, batch_rows=8, seed=0)
    assert labels_seen(wider, range(5)) == [*epochs[0], *epochs[1]]
    assert source.epochs(8) == {"picture": 2.0}


def mixed(folder: Path, tokenizer: TextEncoder) -> ExampleSet:
    rows = [picture(number) for number in range(90)] + [sound(0.1, 2) for _ in range(10)]
    return stored(folder, tokenizer, rows + [Example("text", "t", "l") for _ in range(40)])


def kinds(source: ExampleBatches, positions: range) -> list[str]:
    prefixes = [source.batch(position).inputs[3] for position in positions]
    return [prefix.kind if prefix else "text" for prefix in prefixes]


def test_kinds_take_turns_by_the_square_root_of_their_sizes(tmp_path: Path, byte_tokenizer: TextEncoder) -> None:
    source = ExampleBatches(mixed(tmp_path, byte_tokenizer), batch_rows=3, seed=0)
    seen = kinds(source, range(2 * CYCLE))
    counts = [Counter(seen[start : start + CYCLE]) for start in (0, CYCLE)]
    assert counts[0] == counts[1] and counts[0].total() == CYCLE
    # √90 : √10 : √40 = 3 : 1 : 2, within one batch
    assert [counts[0][kind] for kind in ("picture", "sound", "text")] == [32, 11, 21]
    assert seen[:CYCLE] != seen[CYCLE:]
    for position in (0, 5, CYCLE, CYCLE + 7):
        begun = Counter(kinds(source, range(position)))
        sizes = {"picture": 90, "sound": 10, "text": 40}
        expected = {kind: begun[kind] * 3 / size for kind, size in sizes.items()}
        assert source.epochs(position) == pytest.approx(expected)


def test_a_tiny_kind_still_has_a_batch_in_each_cycle(tmp_path: Path, byte_tokenizer: TextEncoder) -> None:
    rows = [Example("text", "t", "l")] * 9000 + [picture(1)]
    source = ExampleBatches(stored(tmp_path, byte_tokenizer, rows), batch_rows=1, seed=0)
    assert 1 <= kinds(source, range(CYCLE)).count("picture") <= 2


def plain(batch: Batch) -> tuple[object, ...]:
    prefix = batch.inputs[3]
    return (*(all_rows(part) for part in (batch.inputs[0], batch.targets)), prefix and prefix.values.tolist())


@pytest.mark.parametrize("augment", [False, True])
def test_a_batch_depends_on_seed_and_position_alone(augment: bool, tmp_path: Path, byte_tokenizer: TextEncoder) -> None:
    examples = mixed(tmp_path, byte_tokenizer)
    through = ExampleBatches(examples, batch_rows=3, seed=7, augment=augment)
    before = [plain(through.batch(position)) for position in range(CYCLE + 5)]
    again = ExampleBatches(ExampleSet.open(examples.folder), batch_rows=3, seed=7, augment=augment)
    for position in (CYCLE + 2, 3, 40):
        assert plain(again.batch(position)) == before[position]
    other = ExampleBatches(examples, batch_rows=3, seed=8, augment=augment)
    assert [plain(other.batch(position)) for position in range(9)] != before[:9]


def test_augmentation_changes_what_is_seen_each_epoch_and_never_the_held_out(
    tmp_path: Path, byte_tokenizer: TextEncoder
) -> None:
    content = np.random.default_rng(0).integers(0, 256, (2, 3, 1), np.uint8)
    examples = stored(tmp_path, byte_tokenizer, [Example("picture", content, "x")])
    source = ExampleBatches(examples, batch_rows=1, seed=0, augment=True)
    first, second = (prefix_of(source.batch(epoch)).values for epoch in (0, 1))
    (held_out,) = held_out_batches(examples, batch_rows=1)
    plain = prefix_of(held_out.batch).values
    assert not torch.allclose(first, second) and not torch.allclose(first, plain)
    assert (plain * 255).round().flatten().tolist() == content.flatten().tolist()
    still = AugmentConfig(shift=0, rotation_deg=0, scale=0, shear=0, elastic=0)
    unchanged = ExampleBatches(examples, batch_rows=1, seed=0, augment=True, how=still).batch(0)
    torch.testing.assert_close(prefix_of(unchanged).values, plain, atol=1e-5, rtol=0)


def test_held_out_examples_come_once_each_in_order(tmp_path: Path, byte_tokenizer: TextEncoder) -> None:
    held_out = [picture(number, chr(65 + number)) for number in range(5)] + [sound(0.5, 2)]
    examples = stored(tmp_path, byte_tokenizer, [picture(1)], held_out)
    batches = list(held_out_batches(examples, batch_rows=2))
    assert [(each.kind, each.rows.tolist()) for each in batches] == [
        ("picture", [0, 1]),
        ("picture", [2, 3]),
        ("picture", [4]),
        ("sound", [0]),
    ]
    assert [row[0] for each in batches[:3] for row in all_rows(each.batch.targets)] == [65, 66, 67, 68, 69]


def test_tensors_go_to_the_device_that_was_asked_for(tmp_path: Path, byte_tokenizer: TextEncoder) -> None:
    examples = stored(tmp_path, byte_tokenizer, [sound(0.5, 2)])
    batch = ExampleBatches(examples, batch_rows=1, seed=0, device="meta").batch(0)
    prefix = prefix_of(batch)
    assert prefix.lengths is not None
    assert {each.device.type for each in (*batch.inputs[:1], batch.targets, prefix.values, prefix.lengths)} == {"meta"}


def test_the_order_is_the_same_on_every_machine(tmp_path: Path, byte_tokenizer: TextEncoder) -> None:
    # Written down from the first run: a change would break the resuming of runs that others have on their disks.
    examples = stored(tmp_path, byte_tokenizer, [picture(number, chr(65 + number)) for number in range(20)])
    assert labels_seen(ExampleBatches(examples, batch_rows=5, seed=0), range(1)) == [65, 67, 76, 82, 74]


def test_sounds_are_copied_out_of_what_is_mapped() -> None:
    mapped = np.ones(3, np.float32)
    mapped.setflags(write=False)
    values, lengths = sound_values([mapped, mapped[:1]])
    assert values.tolist() == [[1, 1, 1], [1, 0, 0]] and lengths.tolist() == [3, 1]
