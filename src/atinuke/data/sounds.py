"""Sounds → samples: files that soundfile opens (WAV, FLAC, OGG, MP3 …), one channel, at the rate that is asked for.

Another rate is converted by a windowed sinc (Smith, "Digital Audio Resampling", ccrma.stanford.edu/~jos/resample):
band-limited interpolation, where going down in rate widens the sinc so that nothing folds back. The readable form is
`resample_by_hand`; `resample` computes the same sums phase by phase.
"""

import math
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atinuke.config import one_line
from atinuke.data.documents import Unusable, shown
from atinuke.errors import MissingExtraError, SourceError

Samples = NDArray[np.float32]  # −1 to 1

SOUND_ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au")
MOST_SAMPLES = 1 << 26
"""A sound with more samples (23 minutes at 48 kHz) is not read: it is no labelled example."""

ZERO_CROSSINGS = 16
"""Of the sinc on each side."""
KAISER_BETA = 8.0
"""Of its window: about 80 dB down in the stop band."""
ROLL_OFF = 0.945
"""Part of the lower of both bands that passes; the rest is for the slope of the filter."""
MOST_PHASES = 1 << 14


def read_sound(sound: Path | bytes, *, sample_rate_hz: int, say: Callable[[str], None] = lambda line: None) -> Samples:
    """The sound in a file, or in the bytes of one, as float32 (samples,): the mean of its channels, resampled.

    SourceError when it is no sound, or a broken or empty one. `say` is told, in one line, when it is resampled.
    """
    name = "the sound" if isinstance(sound, bytes) else shown(str(sound))
    try:
        samples, rate_hz = decode_sound(_bytes_of(sound))
        if rate_hz != sample_rate_hz:
            say(f"{name} was resampled from {rate_hz:,} to {sample_rate_hz:,} samples per second.")
        return resample(samples, rate_hz, sample_rate_hz)
    except Unusable as reason:
        raise SourceError(f"{name} cannot be read as a sound: {reason}. Give a whole WAV or FLAC file.") from reason


def decode_sound(data: bytes) -> tuple[Samples, int]:
    """The mean of the channels (samples,), and the rate in samples per second. Unusable, with the reason."""
    library = _soundfile()
    _refuse_cut_riff(data)
    try:
        with library.SoundFile(BytesIO(data)) as file:
            if file.frames > MOST_SAMPLES:
                raise Unusable(f"a sound of {file.frames / file.samplerate:,.0f} s; longer than an example may be")
            channels = file.read(MOST_SAMPLES, dtype="float32", always_2d=True)
            announced, rate_hz = int(file.frames), int(file.samplerate)
    except Unusable:
        raise
    except Exception as error:  # LibsndfileError, and TypeError or ValueError on hostile headers
        raise Unusable(f"no sound that soundfile knows: {shown(one_line(error))}") from error
    if not len(channels):
        raise Unusable("a sound without samples")
    if len(channels) < announced:
        raise Unusable(f"a sound that ends after {len(channels):,} of {announced:,} samples")
    if not np.isfinite(channels).all():
        raise Unusable("a sound with samples that are no finite numbers")
    return channels.mean(axis=1, dtype=np.float32), rate_hz


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """The sound at another rate, ⌈N · to / from⌉ samples; itself at the same rate. Silence lies before and after it."""
    if from_hz == to_hz or not len(samples):
        return samples
    up, down = _ratio(from_hz, to_hz)
    count = -(-len(samples) * up // down)
    reach = math.ceil(ZERO_CROSSINGS / _cutoff(up, down)) + 1  # 1: outputs lie up to one sample past their centre
    padded = np.pad(samples, reach)
    offsets = np.arange(-reach, reach + 1)
    result = np.empty(count, dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    # Output n lies at n·down/up of the input: only `up` different fractions come up, each with its own filter.
    for phase in range(min(up, count)):
        centre, remainder = divmod(phase * down, up)
        weights = _kernel(offsets - remainder / up, _cutoff(up, down)).astype(np.float32)
        result[phase::up] = windows[centre::down][: len(result[phase::up])] @ weights
    return result


def resample_by_hand(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """What `resample` gives, each sample as the sum that defines it."""
    up, down = _ratio(from_hz, to_hz)
    places = np.arange(len(samples))
    centres = np.arange(-(-len(samples) * up // down)) * down / up
    return np.array([samples @ _kernel(places - centre, _cutoff(up, down)) for centre in centres], dtype=np.float32)


def _ratio(from_hz: int, to_hz: int) -> tuple[int, int]:
    common = math.gcd(from_hz, to_hz)
    up, down = to_hz // common, from_hz // common
    if min(from_hz, to_hz) < 1 or max(up, down) > MOST_PHASES:
        raise Unusable(f"a rate of {from_hz:,} samples per second, which cannot be brought to {to_hz:,}")
    return up, down


def _cutoff(up: int, down: int) -> float:
    """Highest frequency that passes, in parts of the input's own highest."""
    return ROLL_OFF * min(1.0, up / down)


def _kernel(distance: NDArray[Any], cutoff: float) -> NDArray[np.float64]:
    """The sinc at a distance in input samples, times a Kaiser window over ZERO_CROSSINGS on each side."""
    scaled = distance * cutoff
    part = np.clip(1 - (scaled / ZERO_CROSSINGS) ** 2, 0, None)
    window = np.where(part > 0, np.i0(KAISER_BETA * np.sqrt(part)) / np.i0(KAISER_BETA), 0)
    return np.asarray(cutoff * np.sinc(scaled) * window)


def _refuse_cut_riff(data: bytes) -> None:
    """libsndfile takes what is left of a WAV file that was cut off for the whole of it."""
    announced = int.from_bytes(data[4:8], "little")
    is_known = 0 < announced < 2**32 - 1  # programs that write to a pipe leave it open
    if data[:4] == b"RIFF" and is_known and len(data) < announced + 8:
        raise Unusable(f"a WAV file cut off after {len(data):,} of {announced + 8:,} bytes")


def _bytes_of(sound: Path | bytes) -> bytes:
    if isinstance(sound, bytes):
        return sound
    try:
        return sound.read_bytes()
    except OSError as error:
        raise Unusable(error.strerror or "unreadable") from error


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the system's libsndfile is missing
        raise MissingExtraError.for_extra("Reading sounds", "sounds") from error
    return soundfile
