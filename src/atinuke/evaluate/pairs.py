"""A translator's score on pairs: BLEU and chrF with their signatures."""

import json
import sys

from atinuke.config import printable
from atinuke.data.pairs import Pair, PairCorpus, read_pairs
from atinuke.errors import RunFolderError
from atinuke.evaluate.config import EvaluateConfig
from atinuke.generate.loading import TrainedRun
from atinuke.generate.translating import Translator
from atinuke.train.translation_scores import translation_scores


def score_pairs(trained: TrainedRun, cfg: EvaluateConfig) -> str:
    """The scores of the run's translations of `cfg.pairs`, or of the pairs that it held out, as text or JSON.

    Sources that are longer than the network takes are cut to its length, and counted: they are scored as they come.
    """
    translator = Translator.of_run(trained, beam=cfg.beam)
    name, pairs = _pairs(trained, cfg)
    translation_scores([""], [""])  # says that sacrebleu is missing before hours of translating, not after
    sources, cut = translator.cut([source for source, _ in pairs])
    if cut:
        print(f"{cut:,} sources are longer than this network takes and were cut.", file=sys.stderr)
    found = list(translator.translate(sources))
    scores = translation_scores(found, [target for _, target in pairs])
    if cfg.as_json:
        return json.dumps({"pairs": name, "beam": cfg.beam, "cut": cut, **scores})
    return (
        f"{name}: {len(pairs):,} pairs, beam {cfg.beam}\n"
        f"BLEU {scores['bleu']:6.2f}  {scores['bleu_signature']}\n"
        f"chrF {scores['chrf']:6.2f}  {scores['chrf_signature']}"
    )


def _pairs(trained: TrainedRun, cfg: EvaluateConfig) -> tuple[str, list[Pair]]:
    if cfg.pairs:
        read = read_pairs(cfg.pairs)
        for line in read.notes.describe("pairs"):
            print(line, file=sys.stderr)
        return " ".join(map(printable, cfg.pairs)), read.pairs
    if not trained.folder.data.is_dir():
        raise RunFolderError(
            f"{printable(str(trained.folder.data))} is missing, and with it the pairs that this run held out; "
            "name others with --pairs."
        )
    return "held-out pairs", PairCorpus.open(trained.folder.data).held_out_texts
