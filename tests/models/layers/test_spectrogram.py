"""The spectrogram against transformers' own, and rows that do not care for their padding."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from atinuke.models.layers.spectrogram import FrameEmbedding, LogMel, SoundEmbedding, mel_filters, normalise


def noise(batch: int, samples: int) -> torch.Tensor:
    return torch.rand(batch, samples, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(("mel_bins", "frequency_bins", "rate"), [(40, 129, 8000), (80, 257, 16000), (3, 9, 1000)])
def test_the_filters_are_those_of_transformers(mel_bins: int, frequency_bins: int, rate: int) -> None:
    theirs = mel_filter_bank(frequency_bins, mel_bins, 0.0, rate / 2, rate, norm=None, mel_scale="htk")
    assert_close(mel_filters(mel_bins, frequency_bins, rate), torch.from_numpy(theirs).float(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("rate", "mel_bins"), [(8000, 40), (16000, 80)])
def test_the_spectrogram_is_that_of_transformers(rate: int, mel_bins: int) -> None:
    module, sound = LogMel(rate, mel_bins), noise(1, rate // 2)
    theirs = spectrogram(
        sound[0].numpy().astype(np.float64),
        window_function(module.frame_samples, "hann"),
        frame_length=module.frame_samples,
        hop_length=module.hop_samples,
        fft_length=module.fft_samples,
        power=2.0,
        center=False,
        mel_filters=module.filters.numpy().astype(np.float64),
        log_mel="log",
    )
    assert_close(module(sound)[0], torch.from_numpy(np.asarray(theirs)).float().T, atol=1e-4, rtol=1e-4)


def test_a_tone_is_loudest_in_the_band_around_it() -> None:
    # 40 bands to 4000 Hz: the peaks of the triangles are at 2595·log10(1 + f/700) = 2146·k/41
    module = LogMel(8000, 40)
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(4000) / 8000)[None]
    band = round(2595 * math.log10(1 + 1000 / 700) / 2146.06 * 41) - 1
    assert (module(tone)[0].argmax(dim=-1) == band).all()


def test_twice_as_loud_adds_log_4_to_every_band() -> None:
    module, sound = LogMel(8000, 40), noise(2, 3000)
    assert_close(module(2 * sound) - module(sound), torch.full((2, 36, 40), math.log(4)), atol=1e-4, rtol=1e-4)


def test_silence_is_a_finite_number() -> None:
    assert_close(LogMel(8000, 40)(torch.zeros(1, 800)), torch.full((1, 8, 40), math.log(1e-10)))


def test_narrow_bands_get_a_longer_transform_rather_than_nothing() -> None:
    module = LogMel(8000, 128)
    assert module.fft_samples > 256 and module.filters.any(dim=0).all()


@pytest.mark.parametrize("samples", [1, 199, 200, 279, 280, 3000])
def test_frames_are_counted_as_they_are_made(samples: int) -> None:
    module = LogMel(8000, 40)
    assert module(noise(1, samples)).shape[1] == module.frame_counts(torch.tensor([samples])).item()


def test_normalised_rows_have_mean_0_and_variance_1_over_what_is_real() -> None:
    frames = 5 + 3 * torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(0))
    is_frame = torch.arange(7) < torch.tensor([7, 3])[:, None]
    rows = normalise(frames, is_frame)
    for row, count in enumerate([7, 3]):
        assert_close(rows[row, :count].mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
        assert_close(rows[row, :count].var(correction=0), torch.tensor(1.0), atol=1e-4, rtol=0)
        assert not rows[row, count:].any()


def test_loudness_does_not_change_a_position() -> None:
    module, sound = SoundEmbedding(8000, 16), noise(1, 2000)
    assert_close(module(sound)[0], module(0.05 * sound)[0], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("frames_per_position", [1, 2, 3])
def test_padding_and_what_lies_in_it_change_no_position(frames_per_position: int) -> None:
    module = SoundEmbedding(8000, 16, frames_per_position=frames_per_position)
    sound, lengths = noise(3, 2500), torch.tensor([150, 1003, 2500])
    embedded, counts = module(sound, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone, [count] = module(sound[row : row + 1, :length])
        assert count == counts[row] == alone.shape[1]
        assert_close(embedded[row, :count], alone[0], atol=1e-4, rtol=1e-4)


def test_positions_are_the_frames_in_groups() -> None:
    module = FrameEmbedding(4, 3, 8)
    assert module.position_counts(torch.tensor([1, 3, 4, 7])).tolist() == [1, 1, 2, 3]
    frames = noise(7, 4)[None]
    before = module(frames, torch.ones(1, 7, dtype=torch.bool))
    assert before.shape == (1, 3, 8)
    later = frames.clone()
    later[:, 5:] += 1  # frame 5 is seen by 4, 5 and 6 through the convolution: positions 1 and 2
    changed = (module(later, torch.ones(1, 7, dtype=torch.bool)) - before).abs().amax(dim=-1)[0]
    assert changed[0] == 0 and changed[1] > 0 and changed[2] > 0


def test_gradient_reaches_every_parameter_and_tables_are_not_saved() -> None:
    module = SoundEmbedding(8000, 16)
    embedded, _ = module(noise(2, 2000), torch.tensor([900, 2000]))
    embedded.square().sum().backward()
    assert [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    assert set(module.state_dict()) == {name for name, _ in module.named_parameters()}


def test_the_spectrogram_stays_exact_under_autocast() -> None:
    module, sound = LogMel(8000, 40), noise(1, 2000)
    with torch.autocast("cpu", torch.bfloat16):
        rough = module(sound)
    assert_close(rough, module(sound))


@pytest.mark.parametrize("shape", [(2, 0), (5,), (1, 2, 3)])
def test_sounds_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(batch, samples\), samples > 0"):
        SoundEmbedding(8000, 16).forward(torch.zeros(shape))


def test_a_frame_shorter_than_two_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        LogMel(8000, 40, frame_s=0.0001)
