"""A batch of pictures or sounds, each changed a little, all at once and at little cost beside the network.

The random numbers come from numpy's generator, which the caller seeds: the same seed gives the same changes.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from atinuke.data.augmenting import AugmentConfig

BEND_POINTS = 5
"""Along each side, the points whose random displacements bend a picture; between them it is interpolated."""


def augment_pictures(
    pictures: Float[Tensor, "B C H W"], how: AugmentConfig, random: np.random.Generator
) -> Float[Tensor, "B C H W"]:
    """Each picture shifted, turned, scaled, slanted and bent; what comes in from outside repeats its edge.

    Affine and elastic distortions as in Simard, Steinkraus, Platt 2003, "Best practices for convolutional neural
    networks", §2; they smooth white noise with a Gaussian, we interpolate a coarse grid of it, which costs less.
    """
    places = F.affine_grid(_affine(pictures, how, random), list(pictures.shape), align_corners=False)
    if how.elastic:
        # Both ends of the coordinates are ±1, so a part of the side is twice that.
        bends = 2 * how.elastic * _even(random, len(pictures), 2, BEND_POINTS, BEND_POINTS)
        bends = F.interpolate(bends, size=pictures.shape[-2:], mode="bicubic", align_corners=True)
        places = places + bends.permute(0, 2, 3, 1)
    return F.grid_sample(pictures, places, mode="bilinear", padding_mode="border", align_corners=False)


def augment_sounds(
    sounds: Float[Tensor, "B N"],
    lengths: Int[Tensor, " B"],
    how: AugmentConfig,
    random: np.random.Generator,
    *,
    sample_rate_hz: int,
    most_samples: int,
) -> tuple[Float[Tensor, "B M"], Int[Tensor, " B"]]:
    """Each sound moved in time, faster or slower, louder or softer, with noise; and how many samples each has then.

    Linear interpolation between samples: it dulls the highest tones a little, which is one more change.
    """
    batch = len(sounds)
    delays = torch.round(how.delay_s * sample_rate_hz * _even(random, batch))
    speeds = 1 + how.speed * _even(random, batch)
    # A cut at the front takes at most half of a sound away, or a short one would be gone.
    delays = torch.maximum(delays, -torch.floor(lengths / speeds / 2))
    moved_lengths = (torch.ceil(lengths / speeds) + delays).long().clamp(1, most_samples)
    steps = torch.arange(int(moved_lengths.max()))
    places = (steps - delays[:, None]) * speeds[:, None]  # where each new sample lies in the old sound
    before = torch.floor(places)
    part = places - before
    moved = _at(sounds, lengths, before) * (1 - part) + _at(sounds, lengths, before + 1) * part
    gains = 10 ** (how.gain_db * _even(random, batch)[:, None] / 20)
    levels = (moved.square().sum(1) / moved_lengths).sqrt()
    # Evenly distributed noise of height 1 has the level 1/√3. Drawn between silence and the loudest that is allowed.
    height = math.sqrt(3) * 10 ** (-how.noise_db / 20) * levels * (_even(random, batch) + 1) / 2
    noise = height[:, None] * _even(random, *moved.shape)
    is_sound = steps < moved_lengths[:, None]
    return ((moved + noise) * gains * is_sound).clamp(-1, 1), moved_lengths


def _affine(pictures: Tensor, how: AugmentConfig, random: np.random.Generator) -> Float[Tensor, "B 2 3"]:
    """For each picture the map from places in the new one to places in the old: turned · slanted · stretched, shifted.

    Places run from −1 to 1 along each side; where the sides differ, turning has to count in pixels.
    """
    count, _, height, width = pictures.shape
    angles = math.radians(how.rotation_deg) * _even(random, count)
    cos, sin = angles.cos(), angles.sin()
    turned = torch.stack([cos, -sin * height / width, sin * width / height, cos], dim=1).view(count, 2, 2)
    slanted = torch.eye(2).repeat(count, 1, 1)
    slanted[:, 0, 1] = how.shear * _even(random, count)
    stretched = torch.diag_embed(1 + how.scale * _even(random, count, 2))
    shifts = 2 * how.shift * _even(random, count, 2, 1)
    return torch.cat([turned @ slanted @ stretched, shifts], dim=2)


def _at(sounds: Float[Tensor, "B N"], lengths: Int[Tensor, " B"], places: Float[Tensor, "B M"]) -> Float[Tensor, "B M"]:
    """The samples at whole `places`; silence outside each sound."""
    is_inside = (places >= 0) & (places < lengths[:, None])
    return sounds.gather(1, places.long().clamp(0, sounds.shape[1] - 1)) * is_inside


def _even(random: np.random.Generator, *shape: int) -> Tensor:
    """Numbers drawn evenly from −1 to 1."""
    return torch.from_numpy(random.random(shape, dtype=np.float32)) * 2 - 1
