"""What a run can learn: each lesson has its data, its objective and its scores; the training loop is the same."""

from atinuke.errors import ConfigError
from atinuke.train.config import TrainConfig
from atinuke.train.lessons.lesson import Lesson


def lesson_for(cfg: TrainConfig) -> type[Lesson]:
    """The lesson that fits the data and the network that `cfg` names; ConfigError where none does."""
    if cfg.objective.masked_share and (cfg.data.pairs or cfg.data.examples or cfg.model.kind == "bert"):
        raise ConfigError(
            f"objective.masked_share is {cfg.objective.masked_share:g}; it mixes masked tokens into running text, for "
            "a network that continues it (atinuke, gpt, llama). Leave it out."
        )
    if cfg.data.pairs:
        from atinuke.train.lessons.pairs import PairLesson

        return PairLesson
    if cfg.data.examples and cfg.model.kind == "perceptron":
        from atinuke.train.lessons.tables import TableLesson

        return TableLesson
    if cfg.data.examples:
        from atinuke.train.lessons.examples import ExampleLesson

        return ExampleLesson
    if cfg.model.kind in ("seq2seq", "rnn-seq2seq"):
        raise ConfigError(
            f"model is {cfg.model.kind}, which learns from texts and their translations; name them with --pairs, as "
            "in --pairs de.txt en.txt."
        )
    if cfg.model.kind == "bert":
        from atinuke.train.lessons.masked import MaskedLesson

        return MaskedLesson
    from atinuke.train.lessons.text import TextLesson

    return TextLesson
