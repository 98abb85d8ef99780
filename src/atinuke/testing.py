"""Small things to test with, for this project and for whoever builds on it: a network, a tokenizer, a whole run."""

from pathlib import Path

from atinuke.models import ModelConfig, build_model
from atinuke.models.config import ModelKind, saved_network
from atinuke.models.decoder import Decoder
from atinuke.train.progress import Quiet

TEXT = """\
Humpty Dumpty sat on a wall,
Humpty Dumpty had a great fall.
All the king's horses and all the king's men
Couldn't put Humpty together again.
"""


class Listener(Quiet):
    """Shows nothing, and remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def tiny_network(kind: ModelKind = "atinuke", *, vocab_size: int = 61, context: int = 16) -> ModelConfig:
    """A network of a few thousand parameters, no two sizes of which are equal, so that none can stand for another."""
    return ModelConfig(
        kind=kind,
        vocab_size=vocab_size,
        model_dim=24,
        key_dim=20,
        hidden_dim=40,
        head_count=2,
        layer_count=3,
        context=context,
        max_len=4 * context,
    )


def tiny_model(
    kind: ModelKind = "atinuke", *, vocab_size: int = 61, context: int = 16, seed: int = 0, spread: float = 0.3
) -> Decoder:
    """A network with all its weights from N(0, spread), so that every part of it matters to its output.

    Fresh networks have zeros in places, to train well; a test could not see what those parts do. torch's random
    state is left as it was.
    """
    return _randomised(tiny_network(kind, vocab_size=vocab_size, context=context), seed, spread)


def make_run(
    folder: Path,
    kind: ModelKind = "atinuke",
    *,
    tokenizer: str = "bpe",
    text: str = 40 * TEXT,
    suffix: str = ".txt",
    seed: int = 0,
) -> Path:
    """A complete run folder, written by the functions of the trainer around a network of random weights.

    It is scored, sampled from, reported and sealed like any other; only the training did not take place. `text` is
    what its source holds, the name of which ends in `suffix`.
    """
    from atinuke.data.corpus import write_corpus
    from atinuke.data.sources import Sources
    from atinuke.data.split import scan
    from atinuke.machine import environment, resolve_device
    from atinuke.run_folder import MetricsWriter, RunFolder, to_json, write_atomic
    from atinuke.tokenizers import train_tokenizer
    from atinuke.train.config import TrainConfig
    from atinuke.train.loop import TrainState
    from atinuke.train.preparing import Prepared
    from atinuke.train.results import first_summary, score_and_report
    from atinuke.train.resuming import save_request
    from atinuke.weights import save_weights

    run = RunFolder(folder)
    run.create()
    source = run.path / f"source{suffix}"
    write_atomic(source, text)
    sources = Sources([str(source)])
    scanned = scan(sources, TrainConfig().data.split, sample_bytes=len(text.encode()))
    trained = train_tokenizer(tokenizer, scanned.sample, None if tokenizer == "char" else 300)
    sizes = tiny_network(kind).model_dump(exclude={"vocab_size"})
    cfg = TrainConfig.model_validate(
        {
            "data": {"sources": [str(source)]},
            "tokenizer": {"kind": tokenizer, "vocab_size": trained.vocab_size},
            "model": sizes,
            "budget": {"steps": 1},
            "batch_seqs": 4,
            "dtype": "float32",
            "compile": False,
            "seed": seed,
        }
    )
    save_request(run, cfg)
    trained.save(run.tokenizer)
    write_atomic(run.environment, to_json(environment()))
    write_atomic(run.config, cfg.to_json())
    network = saved_network(cfg.model_dump())
    model = _randomised(network, seed, 0.1)
    save_weights(run.model, model)
    corpus = write_corpus(sources, scanned, trained, run.data)
    with MetricsWriter(run.metrics) as metrics:
        row = {
            "step": 1,
            "tokens": 64,
            "elapsed_s": 0.1,
            "loss": 5.0,
            "lr": 1e-3,
            "tokens_per_s": 640.0,
            "grad_norm": 1.0,
        }
        metrics.append(row)
    start = Prepared(cfg, network, trained, corpus, {"bytes_per_token": len(text) / len(trained.encode(text))})
    summary = first_summary(start, TrainState(model, []), run, resolve_device("cpu"), [])
    write_atomic(run.summary, to_json(summary | {"elapsed_s": 0.0}))
    score_and_report(run, start, model, Quiet())
    run.seal()
    return run.path


def _randomised(network: ModelConfig, seed: int, spread: float) -> Decoder:
    import torch

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = build_model(network)
        for parameter in model.parameters():
            parameter.normal_(std=spread)
    return model.eval()
