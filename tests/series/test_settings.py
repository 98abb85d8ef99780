"""What differs between the settings of two runs, and the words that say it."""

from atinuke.config import build_settings
from atinuke.series.settings import assignments_of, differences
from atinuke.train.config import TrainConfig


def changed(*assignments: str) -> TrainConfig:
    return build_settings(TrainConfig, assignments=assignments)


def test_every_setting_that_differs_is_named_with_both_values() -> None:
    there, here = changed("optim.lr=1e-3", "seed=1"), changed("seed=1", 'sample_prompts=["Über"]')
    assert differences(there, here) == [
        "optim.lr is 0.001 there and null here",
        'sample_prompts is [] there and ["Über"] here',
    ]
    assert differences(there, there) == []


def test_the_words_bring_the_same_settings_back() -> None:
    asked = changed("optim.lr=1e-3", 'sample_prompts=["Über \U0001f600", "b"]', "model.layer_count=3", "compile=true")
    words = assignments_of(asked, TrainConfig(), ())
    assert words[::2] == ["--set"] * 4
    assert changed(*words[1::2]) == asked


def test_what_is_said_in_another_way_is_left_out() -> None:
    assert assignments_of(changed("seed=3"), TrainConfig(), ("seed",)) == []
