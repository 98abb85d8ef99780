from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import resample_poly

from atinuke.data.documents import Unusable
from atinuke.data.sounds import decode_sound, read_sound, resample, resample_by_hand
from atinuke.errors import SourceError


def tone(hz: float, rate_hz: int, seconds: float = 0.2) -> NDArray[np.float32]:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz).astype(np.float32)


def wav(samples: NDArray[np.floating], rate_hz: int, **options: str) -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, rate_hz, format=options.pop("format", "WAV"), **options)
    return file.getvalue()


def test_a_sound_of_this_rate_comes_back_sample_by_sample(tmp_path: Path) -> None:
    samples = np.array([0, 0.5, -0.5, 0.25, -1], dtype=np.float32)
    path = tmp_path / "one.wav"
    path.write_bytes(wav(samples, 8000))
    found = read_sound(path, sample_rate_hz=8000)
    assert found.dtype == np.float32 and np.array_equal(found, samples)
    assert np.array_equal(read_sound(wav(samples, 8000, format="FLAC"), sample_rate_hz=8000), samples)


def test_channels_are_averaged() -> None:
    samples, rate_hz = decode_sound(wav(np.array([[0.5, 0], [1, -0.5]]), 16000, subtype="FLOAT"))
    assert rate_hz == 16000 and samples.tolist() == [0.25, 0.25]


@pytest.mark.parametrize(("from_hz", "to_hz"), [(8000, 16000), (44100, 8000), (16000, 8000), (11025, 8000)])
def test_resampling_gives_the_same_tone_at_the_new_rate(from_hz: int, to_hz: int) -> None:
    found, expected = resample(tone(440, from_hz), from_hz, to_hz), tone(440, to_hz)
    assert abs(len(found) - len(expected)) <= 1
    middle = slice(len(expected) // 4, 3 * len(expected) // 4)  # at the ends the tone meets silence
    assert np.abs(found[middle] - expected[middle]).max() < 1e-3


@pytest.mark.parametrize(("from_hz", "to_hz"), [(8000, 16000), (44100, 16000), (16000, 8000), (22050, 8000)])
def test_resampling_agrees_with_scipy_on_speech_like_sounds(from_hz: int, to_hz: int) -> None:
    # Below a quarter of the lower rate, where both filters pass everything.
    random = np.random.default_rng(0)
    lowest = min(from_hz, to_hz)
    sound = sum(tone(hz, from_hz) * 0.1 for hz in random.uniform(50, lowest / 4, 12)) * np.hanning(
        len(tone(1, from_hz))
    )
    expected = resample_poly(sound, to_hz, from_hz)
    found = resample(sound.astype(np.float32), from_hz, to_hz)
    assert len(found) == len(expected)
    assert np.abs(found - expected).max() < 2e-3


def test_tones_that_the_lower_rate_cannot_hold_go_and_do_not_fold_back() -> None:
    high = resample(tone(6000, 16000), 16000, 8000)
    assert np.abs(high[200:-200]).max() < 1e-3
    plainly_thinned = tone(6000, 16000)[::2]
    assert np.abs(plainly_thinned).max() > 0.9  # what would come of it without the filter


@pytest.mark.parametrize(("from_hz", "to_hz"), [(3, 2), (2, 3), (441, 80), (80, 441), (1, 7), (7, 1)])
def test_the_fast_form_is_the_sum_that_defines_it(from_hz: int, to_hz: int) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, 57).astype(np.float32)
    found, expected = resample(samples, from_hz, to_hz), resample_by_hand(samples, from_hz, to_hz)
    assert found.shape == expected.shape == (-(-57 * to_hz // from_hz),)
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no sound that soundfile knows"),
        (b"RIFF\0\0\0\0, said the file", "no sound that soundfile knows"),
        (wav(tone(440, 8000), 8000)[:-100], "a WAV file cut off after 3,144 of 3,244 bytes"),
        (wav(np.zeros(0), 8000), "a sound without samples"),
        (wav(np.array([0.0, np.nan]), 8000, subtype="FLOAT"), "samples that are no finite numbers"),
    ],
)
def test_what_is_no_whole_sound_is_refused_in_one_line(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "it.wav").write_bytes(data)
    with pytest.raises(SourceError, match=rf"it\.wav cannot be read as a sound: .*{reason}") as caught:
        read_sound(tmp_path / "it.wav", sample_rate_hz=8000)
    assert "\n" not in str(caught.value)


def test_a_cut_off_flac_is_refused() -> None:
    data = wav(np.random.default_rng(0).uniform(-1, 1, 20_000), 8000, format="FLAC")
    with pytest.raises(Unusable):
        decode_sound(data[: len(data) // 2])


def test_rates_without_a_common_measure_are_refused() -> None:
    with pytest.raises(SourceError, match="a rate of 44,101 samples per second, which cannot be brought to 44,100"):
        read_sound(wav(tone(440, 44101, 0.01), 44101), sample_rate_hz=44100)


@given(st.binary(max_size=100), st.integers(0, 60))
@settings(max_examples=60)
def test_no_bytes_make_it_fail_in_another_way(noise: bytes, at: int) -> None:
    whole = wav(tone(440, 8000, 0.01), 8000)
    try:
        samples, _ = decode_sound(whole[:at] + noise + whole[at + len(noise) :])
    except Unusable as reason:
        assert str(reason)
    else:
        assert len(samples)
