"""Sounds as positions of a sequence: waveform → log-mel frames → one vector for every few frames.

    (B, samples) ──LogMel──► (B, frames, mel_bins) ──normalise──► ──FrameEmbedding──► (B, P, D)

Every row has its own length. What lies beyond it never touches what lies before, so padding changes nothing.
"""

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

FLOOR = 1e-10
"""Power below which everything is silence: log would go to minus infinity."""


class LogMel(nn.Module):
    """Natural logarithm of the power in mel bands, frame by frame.

    Frames of `frame_s` seconds every `hop_s`, the first at the start of the sound, Hann window, discrete Fourier
    transform of the next power of two (or of the first that leaves no band empty); triangles on the mel scale of
    O'Shaughnessy 1987 (as in HTK) from 0 Hz to half the sample rate. Only whole frames count; a sound shorter than
    one frame is filled up with silence.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, sample_rate_hz: int, mel_bins: int, frame_s: float = 0.025, hop_s: float = 0.010) -> None:
        super().__init__()
        self.frame_samples, self.hop_samples = round(frame_s * sample_rate_hz), round(hop_s * sample_rate_hz)
        if not (self.frame_samples >= 2 and self.hop_samples >= 1):
            raise ValueError(
                f"frame_s is {frame_s} and hop_s is {hop_s}, which is {self.frame_samples} and {self.hop_samples} "
                f"samples at {sample_rate_hz} Hz; a frame needs at least 2 and a hop at least 1"
            )
        self.fft_samples = 1 << (self.frame_samples - 1).bit_length()
        with torch.device("cpu"):  # numbers to look at, even where a network without memory is being built
            filters = mel_filters(mel_bins, self.fft_samples // 2 + 1, sample_rate_hz)
            while not filters.any(dim=0).all():  # low bands so narrow that they fall between two frequencies
                self.fft_samples *= 2
                filters = mel_filters(mel_bins, self.fft_samples // 2 + 1, sample_rate_hz)
        self.register_buffer("window", torch.hann_window(self.frame_samples), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveform: Float[Tensor, "B N"]) -> Float[Tensor, "B P mel_bins"]:
        """Log power of every whole frame, in float32 whatever the weights are: bfloat16 would lose soft bands."""
        kind = waveform.device.type
        has_autocast = torch.amp.is_autocast_available(kind)  # which would round the matrix product to bfloat16
        with torch.autocast(kind, enabled=False) if has_autocast else nullcontext():
            sound = F.pad(waveform.float(), (0, max(0, self.frame_samples - waveform.shape[1])))
            frames = sound.unfold(1, self.frame_samples, self.hop_samples) * self.window.float()  # (B, P, samples)
            power = torch.fft.rfft(frames, n=self.fft_samples).abs().square()
            return (power @ self.filters.float()).clamp(min=FLOOR).log()

    def frame_counts(self, lengths: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """Whole frames in sounds of `lengths` samples, at least 1."""
        return 1 + (lengths - self.frame_samples).clamp(min=0) // self.hop_samples


class SoundEmbedding(nn.Module):
    """Waveforms as positions: their spectrogram, normalised, then embedded."""

    def __init__(
        self,
        sample_rate_hz: int,
        model_dim: int,
        *,
        mel_bins: int = 40,
        frame_s: float = 0.025,
        hop_s: float = 0.010,
        frames_per_position: int = 2,
    ) -> None:
        super().__init__()
        self.log_mel = LogMel(sample_rate_hz, mel_bins, frame_s, hop_s)
        self.frames = FrameEmbedding(mel_bins, frames_per_position, model_dim)

    def forward(
        self, waveform: Float[Tensor, "B N"], lengths: Int[Tensor, " B"] | None = None
    ) -> tuple[Float[Tensor, "B P D"], Int[Tensor, " B"]]:
        """Positions, padded at the end, and how many of each row are real."""
        if waveform.ndim != 2 or not waveform.shape[1]:
            raise ValueError(f"the sounds have shape {tuple(waveform.shape)}; expected (batch, samples), samples > 0")
        if lengths is None:
            lengths = torch.full((len(waveform),), waveform.shape[1], device=waveform.device)
        is_sound = torch.arange(waveform.shape[1], device=waveform.device) < lengths[:, None]
        frames = self.log_mel(waveform * is_sound)
        counts = self.log_mel.frame_counts(lengths)
        is_frame = torch.arange(frames.shape[1], device=frames.device) < counts[:, None]
        return self.frames(normalise(frames, is_frame), is_frame), self.frames.position_counts(counts)


class FrameEmbedding(nn.Module):
    """One position for every `frames_per_position` frames: a convolution over neighbouring frames, then one matrix.

    As in Radford et al. 2022, arXiv:2212.04356 §2.2 (two convolutions of width 3, the second with the stride, GELU),
    but the stride is free, and the second is as wide as it must be to miss no frame.
    """

    def __init__(self, mel_bins: int, frames_per_position: int, model_dim: int) -> None:
        super().__init__()
        self.stride = frames_per_position
        self.look = nn.Conv1d(mel_bins, model_dim, kernel_size=3, padding=1)
        self.gather = nn.Conv1d(model_dim, model_dim, kernel_size=frames_per_position, stride=frames_per_position)

    def forward(
        self, frames: Float[Tensor, "B frames mel_bins"], is_frame: Bool[Tensor, "B frames"]
    ) -> Float[Tensor, "B P D"]:
        """Positions; the last one of a row may hold fewer frames, and zeros for those that are missing."""
        kept = is_frame[:, None].to(self.look.weight.dtype)
        x = F.gelu(self.look(frames.mT.to(kept.dtype) * kept)) * kept
        return self.gather(F.pad(x, (0, -x.shape[2] % self.stride))).mT

    def position_counts(self, frame_counts: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """Positions of rows with so many frames."""
        return (frame_counts + self.stride - 1) // self.stride


def normalise(
    frames: Float[Tensor, "B frames mel_bins"], is_frame: Bool[Tensor, "B frames"]
) -> Float[Tensor, "B frames mel_bins"]:
    """Each row with mean 0 and variance 1 over all its real frames and bands: loudness no longer matters."""
    kept = is_frame[..., None].to(frames.dtype)
    size = kept.sum(dim=(1, 2), keepdim=True) * frames.shape[2]
    mean = (frames * kept).sum(dim=(1, 2), keepdim=True) / size
    centred = (frames - mean) * kept
    variance = centred.square().sum(dim=(1, 2), keepdim=True) / size
    return centred * (variance + 1e-5).rsqrt()


def mel_filters(mel_bins: int, frequency_bins: int, sample_rate_hz: int) -> Float[Tensor, "frequency_bins mel_bins"]:
    """Triangles with peak 1, equally far apart on the mel scale 2595·log10(1 + f/700), each reaching to its neighbours.

    `frequency_bins`: of a discrete Fourier transform, from 0 Hz to half of `sample_rate_hz`.
    """
    frequencies = torch.linspace(0, sample_rate_hz / 2, frequency_bins, dtype=torch.float64)
    top = 2595 * torch.log10(1 + frequencies[-1] / 700)
    mels = top * torch.linspace(0, 1, mel_bins + 2, dtype=torch.float64)
    edges = 700 * (10 ** (mels / 2595) - 1)
    rising = (frequencies[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies[:, None]) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0).float()
