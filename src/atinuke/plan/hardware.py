"""Graphics cards as their makers describe them: the numbers that the cost model starts from.

Peaks are for dense bfloat16 products, bandwidths for one direction. What part of them training really gets is in
cost.py, calibrated on published runs.
"""

from dataclasses import dataclass
from typing import Literal

GpuKind = Literal["a100", "h100", "h200", "b200", "mi300x"]


@dataclass(frozen=True)
class Gpu:
    """One card in a node of eight, and what joins it to the others."""

    name: str
    memory_bytes: float
    flops: float
    """Of bfloat16 products per second, at most."""
    memory_bytes_per_s: float
    link_bytes_per_s: float
    """To the other cards of its node."""
    network_bytes_per_s: float
    """To other nodes, its own share."""
    source: str
    per_node: int = 8


# The network is not the card's: 200 Gb/s for each A100 and 400 Gb/s for each of the others is how clusters of them
# are usually built (InfiniBand HDR and NDR, or Ethernet of the same speed).
GPUS: dict[GpuKind, Gpu] = {
    "a100": Gpu("A100 SXM 80 GB", 80e9, 312e12, 2.039e12, 300e9, 25e9, "NVIDIA A100 data sheet"),
    "h100": Gpu("H100 SXM", 80e9, 989e12, 3.35e12, 450e9, 50e9, "NVIDIA H100 data sheet"),
    "h200": Gpu("H200 SXM", 141e9, 989e12, 4.8e12, 450e9, 50e9, "NVIDIA H200 data sheet"),
    "b200": Gpu("B200 SXM", 180e9, 2250e12, 7.7e12, 900e9, 50e9, "NVIDIA DGX B200 data sheet"),
    "mi300x": Gpu("MI300X", 192e9, 1307e12, 5.3e12, 448e9, 50e9, "AMD Instinct MI300X data sheet"),
}
