"""How the work of a step is shared out over cards."""

from dataclasses import dataclass
from typing import Literal

Sharing = Literal["fsdp", "ddp", "moments"]
"""fsdp: each card holds a part of weights, gradients and moments; ddp: each holds all of them; moments: each holds all
weights and gradients, and a part of the moments (ZeRO-1, as Megatron does; Atinuke does not)."""
Recompute = Literal["none", "selective", "full"]
"""What is computed again on the way back: nothing; every other product (as torchtitan does; Atinuke does not); all."""


@dataclass(frozen=True)
class Layout:
    """Cards in groups: those of one group share the same rows, and the groups take different ones."""

    gpus: int
    tensor: int = 1
    """Cards that share each matrix."""
    pipeline: int = 1
    """Stages that the blocks are cut into; more than one is for comparisons, Atinuke has one."""
    micro_batch_seqs: int = 1
    micro_batches: int = 1
    """In each step, one after another."""
    context: int = 8192
    recompute: Recompute = "none"
    sharing: Sharing = "fsdp"
    has_sequence_parallel: bool = False
    """Whether tensor parallelism cuts what lies between the products too, along the sequence (Atinuke's does not)."""
    cuts_tables: bool = False
    """Whether it cuts embedding, read-out and logits too, along the vocabulary (Atinuke's does not)."""
    hides_exchange: bool = False
    """Whether tensor parallelism exchanges while it multiplies."""
    has_fused_attention: bool = True

    @property
    def groups(self) -> int:
        """Groups of cards that take different rows."""
        return self.gpus // (self.tensor * self.pipeline)

    @property
    def group_tokens(self) -> int:
        """Of one step, in one group."""
        return self.micro_batches * self.micro_batch_seqs * self.context

    @property
    def batch_tokens(self) -> int:
        """Of one step, on all cards."""
        return self.groups * self.group_tokens

    @property
    def between(self) -> int:
        """How many cards share what lies between the products."""
        return self.tensor if self.has_sequence_parallel else 1

    @property
    def tables(self) -> int:
        """How many cards share embedding, read-out and logits."""
        return self.tensor if self.cuts_tables else 1
