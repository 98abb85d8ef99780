"""Speeds and memory that others have published, beside what the cost model says of the same runs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from atinuke.plan.hardware import GPUS, Gpu
from atinuke.plan.layout import Layout
from atinuke.plan.memory import memory_of
from atinuke.plan.shape import Shape
from atinuke.plan.step import tokens_per_card_s

TITAN = "torchtitan, 2024-12"
ASYNC = "torchtitan, 2025-06"
TRAINY = "Trainy on H200, 2025-06"
MEGATRON = "Megatron-LM, 2024-07"
NARAYANAN = "Narayanan et al. 2021"

# Grand Teton: H100s with 96 GB of slower memory and 500 W. Their peak is "between SXM and NVL", says torchtitan; we
# take the latter's 835 TFLOP/s.
TETON = replace(GPUS["h100"], name="H100, 500 W", memory_bytes=96e9, flops=835e12, memory_bytes_per_s=2.4e12)
LLAMA_8B = Shape(32, 4096, 14336, 32, 8, 128_256)
LLAMA_70B = Shape(80, 8192, 28672, 64, 8, 128_256)
LLAMA_405B = Shape(126, 16384, 53248, 128, 8, 128_256)


@dataclass(frozen=True)
class Run:
    """A published run, and how our model describes it."""

    source: str
    name: str
    shape: Shape
    layout: Layout
    gpu: Gpu
    tokens_per_s: float | None = None
    """Per card."""
    memory_gib: float | None = None
    calibrates: bool = False

    @property
    def foretold_tokens_per_s(self) -> float:
        """Per card, by the model."""
        return tokens_per_card_s(self.shape, self.layout, self.gpu)

    @property
    def foretold_memory_gib(self) -> float:
        """On the fullest card, by the model."""
        return memory_of(self.shape, self.layout).total / 2**30


def runs() -> Iterator[Run]:
    """All of them."""
    yield from _torchtitan()
    yield from _megatron()
    yield from _narayanan()


def _torchtitan() -> Iterator[Run]:
    """github.com/pytorch/torchtitan, benchmarks/: llama3_h100_202412…, asyncTP_llama3_h100_2025-06…, llama3-8b_h200…;
    bfloat16, torch.compile, context 8192. With float8, memory alone is compared."""

    def run(source: str, name: str, shape: Shape, layout: Layout, speed: float | None, memory: float | None) -> Run:
        return Run(source, name, shape, layout, TETON, speed, memory, speed in (6667, 4378))

    sharded = Layout(8, micro_batch_seqs=2, recompute="selective")
    yield run(TITAN, "8B, 8 cards, FSDP", LLAMA_8B, sharded, 6667, 77.0)
    yield run(TITAN, "8B, 128 cards, FSDP", LLAMA_8B, replace(sharded, gpus=128), 6514, 62.0)
    trainy = replace(sharded, gpus=32)
    yield Run(TRAINY, "8B, 32 cards, FSDP, float8", LLAMA_8B, trainy, GPUS["h200"], None, 47.96)
    cut = Layout(64, tensor=8, micro_batch_seqs=12, recompute="selective", has_sequence_parallel=True, cuts_tables=True)
    yield run(ASYNC, "8B, 64 cards, FSDP 8 × TP 8", LLAMA_8B, cut, 4378, None)
    yield run(ASYNC, "the same, async TP", LLAMA_8B, replace(cut, hides_exchange=True), 4809, None)
    large = replace(cut, gpus=256, micro_batch_seqs=16, recompute="full")
    yield run(ASYNC, "70B, 256 cards, FSDP 32 × TP 8", LLAMA_70B, large, 597.3, None)
    yield run(ASYNC, "the same, async TP", LLAMA_70B, replace(large, hides_exchange=True), 652.4, None)
    yield run(TITAN, "70B, 256 cards, FSDP 32 × TP 8, float8", LLAMA_70B, large, None, 71.9)
    staged = replace(large, gpus=512, pipeline=8, micro_batch_seqs=1, micro_batches=32)
    yield run(TITAN, "405B, 512 cards, FSDP 8 × TP 8 × PP 8, float8", LLAMA_405B, staged, None, 82.5)


def _megatron() -> Iterator[Run]:
    """github.com/NVIDIA/Megatron-LM, images/model_table.png: MFU over model size on H100s, vocabulary 131,072, context
    4096. Rows a micro-batch are not told: we take all of a step, or one where there is a pipeline."""
    gpu = GPUS["h100"]
    for name, heads, width, layers, tensor, pipeline, cards, batch, tflops in (
        ("1.7B", 16, 2048, 24, 1, 1, 48, 192, 408.8),
        ("7.1B", 32, 4096, 30, 2, 1, 96, 192, 465.9),
        ("16B", 48, 6144, 32, 4, 1, 192, 192, 489.1),
        ("32B", 56, 7168, 48, 8, 1, 384, 192, 459.6),
        ("70B", 64, 8192, 84, 8, 2, 768, 384, 419.7),
        ("119B", 80, 10240, 92, 8, 4, 1536, 768, 420.5),
        ("177B", 96, 12288, 96, 8, 6, 2304, 1152, 432.8),
        ("314B", 128, 16384, 96, 8, 8, 3072, 1536, 474.4),
        ("462B", 144, 18432, 112, 8, 16, 6144, 3072, 459.9),
    ):
        shape = Shape(layers, width, 4 * width, heads, heads, 131_072, is_gated=False, is_tied=True)
        rows = batch // (cards // tensor // pipeline)
        layout = Layout(
            cards,
            tensor,
            pipeline,
            micro_batch_seqs=rows if pipeline == 1 else 1,
            micro_batches=1 if pipeline == 1 else rows,
            context=4096,
            sharing="moments",
            has_sequence_parallel=True,
            cuts_tables=True,
            hides_exchange=True,
        )
        where = f"{name}, {cards:,} cards, TP {tensor}" + (f" × PP {pipeline}" if pipeline > 1 else "")
        yield Run(MEGATRON, where, shape, layout, gpu, tflops * 1e12 / shape.flops_per_token(4096))


def _narayanan() -> Iterator[Run]:
    """arXiv:2104.04473, Table 1, the rows without a pipeline: A100s, vocabulary 51,200, context 2048, attention not
    fused, everything recomputed and counted as work (eq. 3 there). Micro-batches from examples/academic_paper_scripts.
    """
    for name, heads, width, layers, tensor, cards, batch, micro, tflops in (
        ("1.7B", 24, 2304, 24, 1, 32, 512, 16, 137),
        ("3.6B", 32, 3072, 30, 2, 64, 512, 16, 138),
        ("7.5B", 32, 4096, 36, 4, 128, 512, 16, 142),
        ("18.4B", 48, 6144, 40, 8, 256, 1024, 8, 135),
    ):
        shape = Shape(layers, width, 4 * width, heads, heads, 51_200, is_gated=False, is_tied=True)
        layout = Layout(
            cards,
            tensor,
            micro_batch_seqs=micro,
            micro_batches=batch // (cards // tensor) // micro,
            context=2048,
            recompute="full",
            sharing="ddp",
            has_fused_attention=False,
            cuts_tables=True,
        )
        per_token = 96 * layers * width**2 * (1 + 2048 / (6 * width) + 51_200 / (16 * layers * width))
        yield Run(
            NARAYANAN, f"{name}, {cards} cards, TP {tensor}", shape, layout, GPUS["a100"], tflops * 1e12 / per_token
        )
