"""Shapes of networks: the ladder that the planner climbs, open sizes taken from a rung, and what a shape costs."""

import math

from atinuke.models.config import ModelConfig, saved_network
from atinuke.train.config import ModelChoice, TrainConfig

# (model_dim, layer_count): each rung about twice the matrix parameters of the one before.
LADDER = ((64, 2), (96, 3), (128, 4), (192, 4), (256, 5), (320, 6), (448, 6), (512, 8), (768, 10), (1024, 14))
FIRST_RUNG = 2
"""Where the search begins, and what a short run without a clock gets."""
LONGEST = 50_000
"""max_len of networks whose positions cost nothing."""
HEAD_DIM = 32
"""Width of one head below model_dim 512; twice that from there on."""


def next_multiple(number: int, of: int) -> int:
    """`number`, or the next one above it that `of` divides: a width that so many heads can share."""
    return math.ceil(number / of) * of


def resolve(model: ModelChoice, rung: int, context: int, dropout: float, pair_dropout: float = 0.0) -> ModelChoice:
    """`model` with its open sizes taken from a rung of the ladder."""
    model_dim = model.model_dim or LADDER[rung][0]
    head_dim = HEAD_DIM if model_dim < 512 else 2 * HEAD_DIM
    key_dim = model.key_dim or (model_dim if model.head_count is None else next_multiple(model_dim, model.head_count))
    head_count = model.head_count or _head_count(key_dim, head_dim, model.kv_head_count or 1)
    has_table = model.kind in ("gpt", "bert")  # of learned positions: each costs a row
    return model.model_copy(
        update={
            "model_dim": model_dim,
            "key_dim": key_dim,
            "hidden_dim": model.hidden_dim or _hidden_dim(model, model_dim),
            "head_count": head_count,
            "layer_count": model.layer_count or _layer_count(model, rung),
            "dropout": dropout if model.dropout is None else model.dropout,
            "pair_dropout": pair_dropout if model.pair_dropout is None else model.pair_dropout,
            "context": context,
            "max_len": model.max_len or (context if has_table else max(context, LONGEST)),
        }
    )


def network_on(cfg: TrainConfig, rung: int, context: int, vocab_size: int) -> ModelConfig:
    """The network of a rung, for what is asked in `cfg`."""
    choice = resolve(cfg.model, rung, context, 0.0)
    return saved_network({"model": choice.model_dump(), "tokenizer": {"vocab_size": vocab_size}})


def matrix_parameters(network: ModelConfig) -> int:
    """Parameters of the block matrices: the N of the scaling law."""
    width, hidden, layers = network.model_dim, network.hidden_dim, network.layer_count
    if network.kind == "perceptron":
        seen = {"learned": width, "one-hot": network.vocab_size, "integer": 1}[network.token_input]
        return network.window * seen * hidden + (layers - 1) * hidden * hidden
    if network.kind == "rnn":
        gates = 4 if network.cell == "lstm" else 3
        return gates * hidden * (width + hidden + (layers - 1) * 2 * hidden)
    # queries, keys, values and output; then the feed-forward, gated or not
    return layers * (4 * width * network.key_dim + (3 if network.kind == "llama" else 2) * width * hidden)


def work_per_token(network: ModelConfig) -> float:
    """Multiplications of the matrices, the read-out and the attention, and the fixed price of a layer.

    Small networks are not paid by arithmetic alone: what a layer of a narrow network costs beside it was about as
    much as its matrices at model_dim 128, so it counts as a width of that much more.
    """
    read_out = network.model_dim * network.vocab_size
    if network.kind in ("perceptron", "rnn"):
        return matrix_parameters(network) + read_out
    width = network.model_dim + 128
    layers = network.layer_count * width * (4 * network.key_dim + 2 * network.hidden_dim + 2 * network.context)
    return layers + read_out


def _head_count(key_dim: int, head_dim: int, of: int) -> int:
    """As many heads as `key_dim` has room for at about `head_dim` each, a multiple of `of` where there is one."""
    fitting = [n for n in range(max(1, key_dim // head_dim), 0, -1) if key_dim % n == 0]
    grouped = [n for n in (*fitting, *range(key_dim, 0, -1)) if key_dim % n == 0 and n % of == 0]
    return grouped[0] if grouped else fitting[0]


def _hidden_dim(model: ModelChoice, model_dim: int) -> int:
    """Four times the width; a gated feed-forward has three matrices, so two thirds of that; a recurrent state twice."""
    if model.kind == "llama":
        return max(8, round(8 * model_dim / 3 / 8) * 8)
    return 2 * model_dim if model.kind in ("rnn", "rnn-seq2seq") else 4 * model_dim


def _layer_count(model: ModelChoice, rung: int) -> int:
    """Recurrent networks and perceptrons gain from width before depth."""
    return min(LADDER[rung][1], 2) if model.kind in ("rnn", "rnn-seq2seq", "perceptron") else LADDER[rung][1]
