"""How much pictures and sounds are changed each time that they are shown in training, so that none is learned by heart.

The defaults suit digits, written or spoken: what they show stays readable. A picture is never mirrored.
"""

from pydantic import Field

from atinuke.config import Settings


class AugmentConfig(Settings):
    """Largest changes; each time each is drawn evenly from minus to plus of it. 0: none."""

    shift: float = Field(0.09, ge=0, le=0.5, description="Pictures: shift, as a part of their sides.")
    rotation_deg: float = Field(12.0, ge=0, le=180, description="Pictures: rotation about the middle, in degrees.")
    scale: float = Field(0.12, ge=0, le=0.5, description="Pictures: growth of width and of height, each for itself.")
    shear: float = Field(0.15, ge=0, le=1, description="Pictures: slant, as the tangent of its angle.")
    elastic: float = Field(0.03, ge=0, le=0.2, description="Pictures: bend of lines, as a part of the sides.")
    delay_s: float = Field(0.05, ge=0, le=1, description="Sounds: later, or earlier with the first part cut off.")
    speed: float = Field(0.1, ge=0, le=0.5, description="Sounds: speed, and pitch with it.")
    gain_db: float = Field(6.0, ge=0, le=40, description="Sounds: louder or softer, in decibels.")
    noise_db: float = Field(
        30.0, ge=0, le=100, description="Sounds: how far noise stays below the sound, in decibels, at the loudest."
    )
