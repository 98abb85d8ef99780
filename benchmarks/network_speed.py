"""Tokens/s of each network beside transformers' same network, in one process, alternating: training and writing.

    python benchmarks/network_speed.py --out benchmarks/results/<date>-network_speed/results.json

gpt beside GPT2LMHeadModel, llama beside LlamaForCausalLM (grouped heads), bert beside BertForPreTraining (15 % of the
tokens masked, and next sentence), seq2seq beside MarianMTModel (post-norm). Both sides have the same sizes, no dropout,
the same random tokens and torch's fused AdamW. transformers has no rnn and no perceptron; the rnn is put beside
torch.nn.LSTM between an embedding and a linear map. Writing is greedy with caches; seq2seq translates 32 sources.
"""

import argparse
import json
import logging
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atinuke.generate.beam import greedy
from atinuke.generate.config import SamplingRules
from atinuke.generate.decode import generate_ids
from atinuke.machine import environment, keep_freed_memory
from atinuke.models import GPT, RNN, Bert, Llama, TransformerSeq2Seq
from atinuke.models.bert import BertOutput
from atinuke.train.objectives import masked_and_next_sentence, next_token

# model_dim, hidden_dim, layers, heads, tokens, rows, vocabulary
SHAPES = {"small": (128, 512, 4, 4, 64, 16, 1024), "medium": (256, 1024, 4, 8, 128, 16, 4096)}
WRITTEN = 48
Loss = Callable[[], Tensor]
Write = Callable[[], int]


def pair_of(kind: str, shape: tuple[int, ...]) -> dict[str, tuple[nn.Module, Loss, Write | None]]:
    """Ours and the reference: the network, its loss on fixed tokens, and a call that writes tokens."""
    torch.manual_seed(0)
    built: dict[str, tuple[nn.Module, Loss, Write | None]] = BUILDERS[kind](*shape)
    return built


def gpt(d: int, f: int, layers: int, heads: int, length: int, rows: int, vocab: int) -> dict[str, Any]:
    """GPT-2."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocab,
        n_positions=length,
        n_embd=d,
        n_layer=layers,
        n_head=heads,
        n_inner=f,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    return causal(GPT(vocab, d, d, f, heads, layers, 0.0, length), GPT2LMHeadModel(config), length, rows, vocab)


def llama(d: int, f: int, layers: int, heads: int, length: int, rows: int, vocab: int) -> dict[str, Any]:
    """Llama with half as many heads of keys and values."""
    from transformers import LlamaConfig, LlamaForCausalLM

    hidden = round(2 * f / 3 / 8) * 8
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=d,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        max_position_embeddings=length,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    own = Llama(vocab, d, d, hidden, heads, layers, 0.0, length, kv_head_count=heads // 2)
    return causal(own, LlamaForCausalLM(config), length, rows, vocab)


def causal(own: Any, reference: Any, length: int, rows: int, vocab: int) -> dict[str, Any]:
    """Two networks that continue text."""
    tokens = torch.randint(1, vocab, (rows, length + 1))
    prompt = list(range(1, 9))

    def write_own() -> int:
        rules, generator = SamplingRules(temperature=0), torch.Generator()
        return sum(
            1 for _ in generate_ids(own, prompt, tokens=WRITTEN, rules=rules, generator=generator, context=length)
        )

    def write_reference() -> int:
        ids = torch.tensor([prompt])
        with torch.inference_mode():
            found = reference.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=WRITTEN, do_sample=False, use_cache=True
            )
        return found.shape[1] - len(prompt)

    return {
        "ours": (own, lambda: next_token(own(tokens[:, :-1]), tokens[:, 1:]), write_own),
        "transformers": (
            reference,
            lambda: next_token(reference(tokens[:, :-1], use_cache=False).logits, tokens[:, 1:]),
            write_reference,
        ),
    }


def bert(d: int, f: int, layers: int, heads: int, length: int, rows: int, vocab: int) -> dict[str, Any]:
    """BERT with both heads."""
    from transformers import BertConfig, BertForPreTraining

    config = BertConfig(
        vocab_size=vocab,
        hidden_size=d,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=f,
        max_position_embeddings=length,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    own, reference = Bert(vocab, d, d, f, heads, layers, 0.0, length), BertForPreTraining(config)
    tokens, segments = torch.randint(1, vocab, (rows, length)), torch.zeros(rows, length, dtype=torch.int64)
    places = torch.arange(0, rows * length, 7)
    targets = (tokens.flatten()[places], torch.randint(2, (rows,)))

    def reference_loss() -> Tensor:
        # the reference reads out every position; what is asked of both is the loss at the masked ones
        output = reference(tokens, token_type_ids=segments)
        logits = output.prediction_logits.flatten(0, 1)[places]
        return masked_and_next_sentence(BertOutput(logits, output.seq_relationship_logits), targets)

    def own_loss() -> Tensor:
        return masked_and_next_sentence(own(tokens, segments, None, places), targets)

    return {"ours": (own, own_loss, None), "transformers": (reference, reference_loss, None)}


def seq2seq(d: int, f: int, layers: int, heads: int, length: int, rows: int, vocab: int) -> dict[str, Any]:
    """Encoder and decoder, post-norm."""
    from transformers import MarianConfig, MarianMTModel

    config = MarianConfig(
        vocab_size=vocab,
        d_model=d,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=f,
        decoder_ffn_dim=f,
        max_position_embeddings=2 * length,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        activation_function="relu",
        scale_embedding=True,
        pad_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
        forced_eos_token_id=None,
    )
    own = TransformerSeq2Seq(vocab, d, d, f, heads, layers, 0.0, 2 * length, norm_place="post")
    reference = MarianMTModel(config)
    reference.generation_config.update(
        max_length=None, num_beams=1, forced_eos_token_id=None, bad_words_ids=None, eos_token_id=None
    )
    half = length // 2
    source, target = torch.randint(1, vocab, (rows, half)), torch.randint(1, vocab, (rows, half + 1))
    is_source = torch.ones_like(source, dtype=torch.bool)
    is_source[: rows // 2, -half // 4 :] = False

    def reference_loss() -> Tensor:
        found = reference(
            input_ids=source, attention_mask=is_source.long(), decoder_input_ids=target[:, :-1], use_cache=False
        )
        return next_token(found.logits, target[:, 1:])

    def write_own() -> int:
        # an end that never comes: both write the same number of tokens
        found = greedy(own, source, is_source, start_id=0, end_id=-1, max_tokens=WRITTEN)
        return sum(len(each.ids) for each in found)

    def write_reference() -> int:
        with torch.inference_mode():
            found = reference.generate(
                source, attention_mask=is_source.long(), max_new_tokens=WRITTEN, min_new_tokens=WRITTEN, do_sample=False
            )
        return (found.shape[1] - 1) * found.shape[0]

    return {
        "ours": (own, lambda: next_token(own(source, is_source, target[:, :-1]), target[:, 1:]), write_own),
        "transformers": (reference, reference_loss, write_reference),
    }


def rnn(d: int, f: int, layers: int, heads: int, length: int, rows: int, vocab: int) -> dict[str, Any]:
    """LSTM language model."""
    own = RNN(vocab, d, 2 * d, 2, 0.0, length)

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(vocab, d)
            self.lstm = nn.LSTM(d, 2 * d, 2, batch_first=True)
            self.project = nn.Linear(2 * d, d)

        def forward(self, tokens: Tensor) -> Tensor:
            return F.linear(self.project(self.lstm(self.embedding(tokens))[0]), self.embedding.weight)

    plain = Plain()
    tokens = torch.randint(1, vocab, (rows, length + 1))
    return {
        "ours": (own, lambda: next_token(own(tokens[:, :-1]), tokens[:, 1:]), None),
        "torch.nn.LSTM": (plain, lambda: next_token(plain(tokens[:, :-1]), tokens[:, 1:]), None),
    }


BUILDERS: dict[str, Callable[..., dict[str, Any]]] = {
    "gpt": gpt,
    "llama": llama,
    "bert": bert,
    "seq2seq": seq2seq,
    "rnn": rnn,
}


def training_step(model: nn.Module, loss_of: Loss, dtype: str) -> Callable[[], object]:
    """Forward, loss, backward, update."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = loss_of()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


def timed(call: Callable[[], object], for_s: float) -> float:
    """Calls per second over a stretch of time."""
    count, started_s = 0, time.perf_counter()
    while count < 2 or time.perf_counter() - started_s < for_s:
        call()
        count += 1
    return count / (time.perf_counter() - started_s)


def race(calls: dict[str, Callable[[], object]], rounds: int, for_s: float) -> dict[str, list[float]]:
    """Calls per second of each, alternating."""
    speeds: dict[str, list[float]] = {who: [] for who in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for who, call in calls.items():
            speeds[who].append(timed(call, for_s))
    return speeds


def main() -> None:
    """Races every pair, prints a table, saves it with machine and versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=BUILDERS, default=list(BUILDERS))
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each stretch")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    torch.set_flush_denormal(True)
    keep_freed_memory()  # as the trainer does; it serves both sides
    table = ["| network | shape | what | ours tokens/s | reference tokens/s | ratio |", "|---|---|---|---:|---:|---:|"]
    results: list[dict[str, Any]] = []
    for name in arguments.networks:
        for shape_name in arguments.shapes:
            shape = SHAPES[shape_name]
            for what in ("train float32", "train bfloat16", "write"):
                both = pair_of(name, shape)
                if what == "write" and both["ours"][2] is None:
                    continue
                tokens = shape[4] * shape[5] // (2 if name == "seq2seq" else 1)
                calls: dict[str, Callable[[], object]] = {}
                for who, (model, loss_of, write) in both.items():
                    if what == "write":
                        assert write is not None
                        model.eval()
                        tokens, calls[who] = write(), write
                    else:
                        calls[who] = training_step(model.train(), loss_of, what.split()[1])
                speeds = race(calls, arguments.rounds, arguments.seconds)
                ours, theirs = speeds.values()
                reference = list(speeds)[1]
                ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
                table.append(
                    f"| {name} beside {reference} | {'/'.join(map(str, shape))} | {what} "
                    f"| {statistics.median(ours) * tokens:,.0f} | {statistics.median(theirs) * tokens:,.0f} "
                    f"| {ratio:.2f} |"
                )
                print(table[-1], file=sys.stderr, flush=True)
                results.append({"network": name, "shape": shape, "what": what, "calls_per_s": speeds, "ratio": ratio})
    note = "Shape: model_dim/hidden_dim/layers/heads/tokens/rows/vocabulary. Ratio: median over neighbouring stretches."
    print(f"`python benchmarks/network_speed.py {' '.join(sys.argv[1:])}`\n\n{note}\n", *table, sep="\n")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        facts = {"threads": torch.get_num_threads(), "environment": environment(), "results": results}
        arguments.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
