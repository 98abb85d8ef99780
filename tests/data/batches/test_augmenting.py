import numpy as np
import pytest
import torch
from torch.testing import assert_close

from atinuke.data.augmenting import AugmentConfig
from atinuke.data.batches.augmenting import augment_pictures, augment_sounds

NOTHING = AugmentConfig(
    shift=0, rotation_deg=0, scale=0, shear=0, elastic=0, delay_s=0, speed=0, gain_db=0, noise_db=100
)


class Ones(np.random.Generator):
    """Draws the largest change always, or with −1 the smallest."""

    def __init__(self, even: float = 1):
        super().__init__(np.random.Philox(key=0))
        self._drawn = (even + 1) / 2

    def random(self, size: object = None, dtype: object = np.float32, out: object = None) -> np.ndarray:  # type: ignore[override]
        return np.full(size, self._drawn, dtype=np.float32)  # type: ignore[call-overload]


def only(**settings: float) -> AugmentConfig:
    return NOTHING.model_copy(update=settings)


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


PICTURES = torch.from_numpy(np.random.default_rng(0).random((3, 2, 8, 8), dtype=np.float32))


def test_without_changes_pictures_stay_as_they_are() -> None:
    assert_close(augment_pictures(PICTURES, NOTHING, seeded()), PICTURES, atol=1e-5, rtol=0)


def test_a_shift_moves_a_picture_by_its_part_of_the_sides() -> None:
    moved = augment_pictures(PICTURES, only(shift=0.25), Ones())  # 2 of 8 pixels, to the upper left
    assert_close(moved[:, :, :6, :6], PICTURES[:, :, 2:, 2:], atol=1e-5, rtol=0)
    assert_close(moved[:, :, 7, :6], PICTURES[:, :, 7, 2:], atol=1e-5, rtol=0)  # beyond the edge the edge goes on


@pytest.mark.parametrize("shape", [(8, 8), (4, 8)])
def test_a_rotation_by_half_turns_the_picture_upside_down(shape: tuple[int, int]) -> None:
    pictures = PICTURES[:, :, : shape[0]]
    turned = augment_pictures(pictures, only(rotation_deg=180), Ones())
    assert_close(turned, pictures.flip(2, 3), atol=1e-4, rtol=0)


def test_a_quarter_turn_counts_in_pixels_where_the_sides_differ() -> None:
    wide = torch.zeros(1, 1, 5, 9)
    wide[0, 0, 2, 2:7] = 1  # a line along the middle, 5 pixels long
    turned = augment_pictures(wide, only(rotation_deg=90), Ones())
    assert_close(turned[0, 0, :, 4], torch.ones(5), atol=1e-4, rtol=0)
    assert turned.sum() == pytest.approx(5, abs=1e-3)


def test_scale_makes_a_picture_smaller_or_larger() -> None:
    square = torch.zeros(1, 1, 16, 16)
    square[..., 4:12, 4:12] = 1
    half = augment_pictures(square, only(scale=0.5), Ones(-1))  # looks at half of the picture: twice as large
    assert half.sum() == pytest.approx(4 * square.sum().item(), rel=0.1)


@pytest.mark.parametrize("setting", ["shift", "rotation_deg", "scale", "shear", "elastic"])
def test_each_setting_changes_pictures_each_its_own_way_and_within_their_range(setting: str) -> None:
    how = NOTHING.model_copy(update={setting: getattr(AugmentConfig(), setting)})
    alike = PICTURES[:1].expand(4, -1, -1, -1)
    changed = augment_pictures(alike, how, seeded())
    assert changed.shape == alike.shape and changed.dtype == torch.float32
    assert 0 <= changed.min() and changed.max() <= 1 + 1e-6
    assert all(not torch.allclose(changed[0], other) for other in (changed[1], changed[2], alike[0]))
    assert torch.equal(changed, augment_pictures(alike, how, seeded()))
    assert not torch.equal(changed, augment_pictures(alike, how, seeded(1)))


SOUNDS = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [-0.5, 0.5, 0, 0, 0, 0]])
LENGTHS = torch.tensor([6, 2])


def augmented(how: AugmentConfig, random: np.random.Generator, most: int = 100) -> tuple[torch.Tensor, torch.Tensor]:
    return augment_sounds(SOUNDS, LENGTHS, how, random, sample_rate_hz=10, most_samples=most)


def test_without_changes_sounds_stay_as_they_are() -> None:
    values, lengths = augmented(NOTHING, seeded())
    assert_close(values, SOUNDS, atol=2e-5, rtol=0)  # noise 100 dB below it
    assert lengths.tolist() == [6, 2]


def test_a_sound_comes_later_after_silence_or_earlier_without_its_beginning() -> None:
    values, lengths = augmented(only(delay_s=0.3), Ones(1))
    assert lengths.tolist() == [9, 5]
    assert_close(values[0], torch.tensor([0, 0, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), atol=1e-4, rtol=0)
    assert_close(values[1], torch.tensor([0, 0, 0, -0.5, 0.5, 0, 0, 0, 0]), atol=1e-4, rtol=0)
    values, lengths = augmented(only(delay_s=0.3), Ones(-1))
    assert lengths.tolist() == [3, 1]  # half of a short sound is left
    assert_close(values, torch.tensor([[0.4, 0.5, 0.6], [0.5, 0, 0]]), atol=1e-4, rtol=0)


def test_a_faster_sound_is_shorter_and_lies_between_its_samples() -> None:
    values, lengths = augmented(only(speed=0.5), Ones(1))
    assert lengths.tolist() == [4, 2]
    assert_close(values[0], torch.tensor([0.1, 0.25, 0.4, 0.55]), atol=1e-4, rtol=0)


def test_gain_is_in_decibels_and_clips_at_full_scale() -> None:
    values, _ = augmented(only(gain_db=20), Ones(-1))
    assert_close(values, SOUNDS / 10, atol=1e-4, rtol=0)
    values, _ = augmented(only(gain_db=20), Ones(1))
    assert values.max() == 1 and values.min() == -1


def test_noise_stays_as_far_below_the_sound_as_it_is_told_and_off_the_padding() -> None:
    sounds = torch.full((64, 4000), 0.1)
    sounds[:, 2000:] = 0
    noisy, _ = augment_sounds(
        sounds, torch.full((64,), 2000), only(noise_db=20), seeded(), sample_rate_hz=8000, most_samples=4000
    )
    levels = (noisy - 0.1).square().mean(1).sqrt()
    assert 0.009 < levels.max() < 0.0105 and levels.min() < 0.003  # 20 dB below 0.1 is 0.01
    assert noisy.shape[1] == 2000
    values, _ = augmented(only(noise_db=0), seeded())
    assert values[1, 2:].tolist() == [0, 0, 0, 0]


def test_no_sound_grows_beyond_the_longest_that_a_network_hears() -> None:
    values, lengths = augmented(only(delay_s=0.3, speed=0.5), Ones(1), most=4)
    assert values.shape == (2, 4) and lengths.tolist() == [4, 4]
