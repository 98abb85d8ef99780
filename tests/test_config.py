"""Settings: what is taken, in which order, and that whatever is refused is refused in one line."""

import json
import math
import os
import random
import re
import string
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, PositiveFloat, PositiveInt

from atinuke.config import Settings, build_settings, nearest, printable, read_settings_file, validate
from atinuke.errors import ConfigError


class Optim(Settings):
    lr: PositiveFloat = Field(3e-4, description="Peak learning rate.")
    beta: float = Field(0.9, ge=0, lt=1, description="Decay.")


class Budget(Settings):
    time_s: PositiveFloat | None = None
    steps: PositiveInt | None = None


class Config(Settings):
    """A small tree with one field of every type that real settings have."""

    optim: Optim = Optim()
    budget: Budget = Budget()
    kind: Literal["atinuke", "atinuke-paper"] = "atinuke"
    sources: tuple[str, ...] = ()
    compile: bool | None = None
    seed: int = Field(0, ge=0, lt=2**32)
    out: Path | None = None


def refusal(**layers: object) -> str:
    """The message with which these layers are refused, proved to be one printable line."""
    with pytest.raises(ConfigError) as caught:
        build_settings(Config, **layers)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.isprintable(), f"more than one plain line: {message!r}"
    return message


class TestPrecedence:
    def test_defaults_hold_where_nothing_is_said(self) -> None:
        assert build_settings(Config) == Config()

    def test_set_wins_over_flags_and_flags_over_the_file(self, tmp_path: Path) -> None:
        file = tmp_path / "run.toml"
        file.write_text('seed = 1\nkind = "atinuke-paper"\n[optim]\nlr = 0.1\nbeta = 0.1\n')
        built = build_settings(Config, file=file, flags={"seed": "2", "optim.lr": "0.2"}, assignments=["optim.lr=0.3"])
        assert (built.kind, built.optim.beta) == ("atinuke-paper", 0.1)
        assert built.seed == 2
        assert built.optim.lr == 0.3

    def test_a_flag_that_was_not_given_changes_nothing(self, tmp_path: Path) -> None:
        file = tmp_path / "run.toml"
        file.write_text("seed = 7\n")
        assert build_settings(Config, file=file, flags={"seed": None}).seed == 7

    def test_of_two_keys_that_exclude_each_other_the_higher_layer_decides(self, tmp_path: Path) -> None:
        file = tmp_path / "run.toml"
        file.write_text("[budget]\ntime_s = 60.0\n")
        keys = ("budget.time_s", "budget.steps")
        built = build_settings(Config, file=file, flags={"budget.steps": "5"}, one_of=keys)
        assert built.budget == Budget(steps=5)
        built = build_settings(Config, flags={"budget.steps": "5"}, assignments=["budget.time_s=9"], one_of=keys)
        assert built.budget == Budget(time_s=9)
        # ... and within one layer both stay, for the check across fields to refuse.
        built = build_settings(Config, flags={"budget.steps": "5", "budget.time_s": "9"}, one_of=keys)
        assert built.budget == Budget(time_s=9, steps=5)

    def test_saved_settings_are_valid_input_again(self, tmp_path: Path) -> None:
        before = build_settings(Config, assignments=["optim.lr=1e-3", 'sources=["a", "ü"]', "out=runs/x", "seed=4"])
        (tmp_path / "config.json").write_text(before.to_json(), encoding="utf-8")
        assert build_settings(Config, file=tmp_path / "config.json") == before


class TestSetValues:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("optim.lr=3e-4", 3e-4),
            ("optim.lr = 3e-4 ", 3e-4),
            ("seed=0x10", 16),
            ("seed=1_000", 1000),
            ("compile=true", True),
            ("compile=null", None),
            ("compile=none", None),
            ("out=runs/x=y", Path("runs/x=y")),
            ('out="with space"', Path("with space")),
            ("out=3 # x", Path("3 # x")),
            ('sources=["a", "b"]', ("a", "b")),
            ("kind=atinuke-paper", "atinuke-paper"),
        ],
    )
    def test_a_value_is_toml_where_it_parses_and_text_otherwise(self, text: str, value: object) -> None:
        if text == "out=3 # x":
            assert "expected a path" in refusal(assignments=[text])  # TOML: the number 3 with a comment
            return
        built = build_settings(Config, assignments=[text])
        section, _, name = text.partition("=")[0].strip().rpartition(".")
        assert getattr(built.optim if section else built, name) == value

    @pytest.mark.parametrize(
        "text", ["", "a", "=", "=1", " =1", ".=1", "a..b=1", "optim.=1", ".lr=1", "seed=", "seed= "]
    )
    def test_what_is_no_assignment_is_refused_with_the_form_expected(self, text: str) -> None:
        assert "expected --set " in refusal(assignments=[text])

    def test_a_line_break_cannot_bring_in_a_second_key(self) -> None:
        assert "whole number" in refusal(assignments=["seed=1\nkind='atinuke-paper'"])


class TestRefusals:
    def test_a_flag_is_named_as_the_user_typed_it(self) -> None:
        message = refusal(flags={"budget.time_s": "soon"}, flag_names={"budget.time_s": "--time"})
        assert message == "--time is 'soon'; expected a number."
        assert refusal(flags={"optim.lr": "x"}) == "--lr is 'x'; expected a number."

    def test_an_argument_of_the_library_is_named_as_it_is_written(self) -> None:
        names = {"budget.time_s": "time=", "optim.lr": "settings="}
        assert refusal(flags={"budget.time_s": "x"}, flag_names=names) == "time= is 'x'; expected a number."
        message = refusal(flags={"optim.lr": "x"}, flag_names=names)
        assert message == "optim.lr (from settings=) is 'x'; expected a number."

    def test_a_key_from_a_file_names_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "run.toml").write_text('seed = "three"')
        assert (
            refusal(file=tmp_path / "run.toml")
            == f"seed (from {tmp_path}/run.toml) is 'three'; expected a whole number."
        )

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("seed=-1", "seed (from --set) is -1; expected 0 or more."),
            ("seed=4294967296", "expected less than 4,294,967,296."),
            ("seed=1.5", "expected a whole number."),
            ("seed=abc", "is 'abc'; expected a whole number."),
            ("seed=true", "seed (from --set) is True; expected a number."),
            ("seed=null", "is None; expected a whole number."),
            ("optim.lr=0", "optim.lr (from --set) is 0; expected more than 0."),
            ("optim.lr=nan", "expected a finite number."),
            ("optim.lr=-inf", "expected "),
            ("optim.lr=false", "expected a number."),
            ("optim=3", "optim (from --set) is 3; expected a section with settings of its own."),
            ("sources=book.txt", "is 'book.txt'; expected a list, such as"),
            ("sources=[1]", "expected text."),
            ("compile=maybe", "is 'maybe'; expected true or false."),
            ("kind=atinuk", "expected 'atinuke' or 'atinuke-paper'. Did you mean atinuke?"),
            ("kind=gpt", "is 'gpt'; expected 'atinuke' or 'atinuke-paper'."),
            ('out=""', "expected a path; the folder you are in is '.'."),
            ("out=3", "expected a path."),
            ("kind.x=1", "kind (from --set)"),
            ("out=a\ud800", "expected text in UTF-8"),
            ('out="a\\u0000b"', "expected text in UTF-8 without zero bytes."),
            ('sources=["a\\u0000b"]', "expected text in UTF-8 without zero bytes."),
            ("seed=" + "9" * 5000, "expected a whole number"),
            ("seed=0x" + "f" * 5000, "a number of thousands of digits; expected less than"),
            ("optim.lr=0x" + "f" * 5000, "expected a"),
            ("seed=" + "[" * 5000, "expected a whole number"),
            ("seed=" + "[" * 300 + "]" * 300, "expected a whole number"),
            ("optim." * 20 + "lr=1", "nests deeper than any setting"),
            (".".join("a" * 5000) + "=1", "nests deeper than any setting"),
        ],
        ids=lambda text: printable(text[:30]),
    )
    def test_a_value_that_does_not_fit_says_what_would(self, text: str, words: str) -> None:
        message = refusal(assignments=[text])
        assert words in message
        assert len(message) < 400

    @pytest.mark.parametrize(
        ("key", "suggestion"),
        [
            ("optim.learning_rate", "optim.lr"),
            ("lr", "optim.lr"),
            ("steps", "budget.steps"),
            ("optim.seed", "seed"),
            ("time", "budget.time_s"),
            ("sorces", "sources"),
            ("optmi.lr", "optim"),
            ("optim.bata", "optim.beta"),
        ],
    )
    def test_an_unknown_key_brings_the_nearest_valid_name(self, key: str, suggestion: str) -> None:
        shown = "optmi" if key == "optmi.lr" else key  # a section that is unknown is refused as a whole
        assert refusal(assignments=[f"{key}=1"]) == f"{shown} (from --set) is not a setting. Did you mean {suggestion}?"

    def test_a_section_that_is_a_plain_value_below_is_refused(self) -> None:
        assert "seed is a plain value, not a section" in refusal(assignments=["seed=1", "seed.x=2"])

    def test_of_very_many_faults_the_first_few_are_told(self) -> None:
        message = refusal(assignments=[f"wrong{i}=1" for i in range(1000)])
        assert message.count("is not a setting") == 5
        assert message.endswith("And 995 more.")

    def test_nothing_near_is_suggested_for_nonsense(self) -> None:
        assert nearest("qqqqqqqq", ["train", "generate"]) == ""
        assert nearest("trian", ["train", "generate"]) == " Did you mean train?"

    def test_settings_cannot_be_changed_afterwards(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            Config().seed = 3  # type: ignore[misc]

    def test_validate_needs_no_origins(self) -> None:
        with pytest.raises(ConfigError, match=r"^seed is 'x'; expected a whole number\.$"):
            validate(Config, {"seed": "x"})


class TestFiles:
    @pytest.mark.parametrize("text", ["", "\ufeffseed = 0\n", "# nothing\n", "[optim]\n"])
    def test_an_empty_file_or_a_byte_order_mark_does_no_harm(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "run.toml").write_text(text, encoding="utf-8")
        assert build_settings(Config, file=tmp_path / "run.toml") == Config()

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("a.toml", b"\xff\xfe\x00\x01" * 50, "is not valid TOML"),
            ("a.toml", b"seed = 1\nseed = 2\n", "is not valid TOML: Cannot overwrite a value"),
            ("a.toml", b"seed = ", "is not valid TOML"),
            ("a.toml", b"seed = " + b"9" * 5000, "is not valid TOML"),
            ("a.toml", b"seed = " + b"[" * 20_000, "is not valid TOML"),
            ("a.toml", b"# " + b"x" * 10_000_000, "larger than 1,000,000 bytes"),
            ("a.toml", b"a" + b".a" * 500 + b" = 1", "nests deeper than any setting"),
            ("a.toml", b"seed = 1979-05-27", "seed (from "),
            ("a.toml", b"preset = 'small'", "preset (from "),
            ("a.toml", b"[optim]\nlr = 1\n[[sources]]\n", "sources.0 (from "),
            ("a.toml", b'"a\\nb\\u202e" = 1', "is not a setting"),
            ("a.json", b"", "is not valid JSON"),
            ("a.json", b"[1, 2]", "holds a list; expected a table of settings."),
            ("a.JSON", b"3", "holds a int"),
            ("a.json", b'{"seed": 1, "seed": 2}', "the key 'seed' is there twice"),
            ("a.json", b'{"optim": {"lr": NaN}}', "NaN is not a number"),
            ("a.json", b'{"seed": ' + b"9" * 5000 + b"}", "is not valid JSON"),
            ("a.json", b'{"a":' * 100_000, "is not valid JSON"),
            ("a.json", b'{"a":' * 300 + b"1" + b"}" * 300, "nests deeper than any setting"),
            ("a.json", b'{"train": 3, "model": 4}', "train (from "),
            ("a.json", b'{"out": "\\ud800"}', "expected text in UTF-8"),
        ],
        ids=lambda value: value if isinstance(value, str) else f"{len(value)}-bytes",
    )
    def test_a_file_that_is_no_settings_is_refused(self, tmp_path: Path, name: str, content: bytes, words: str) -> None:
        (tmp_path / name).write_bytes(content)
        message = refusal(file=tmp_path / name)
        assert words in message
        assert str(tmp_path / name) in message

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        assert (
            refusal(file=tmp_path / "no.toml")
            == f"--config {tmp_path}/no.toml cannot be read: No such file or directory."
        )

    def test_a_run_folder_given_as_file_points_at_its_config(self, tmp_path: Path) -> None:
        assert refusal(file=tmp_path) == f"--config {tmp_path} cannot be read: Is a directory."
        (tmp_path / "config.json").write_text("{}")
        assert refusal(file=tmp_path).endswith(f"Is a directory. Is {tmp_path}/config.json meant?")

    @pytest.mark.parametrize("name", ["a\0b.toml", "a\nb.toml", "\udcff.toml", "x" * 5000])
    def test_a_path_that_no_file_can_have_is_refused(self, tmp_path: Path, name: str) -> None:
        assert "--config " in refusal(file=tmp_path / name)

    @pytest.mark.parametrize("device", [Path("/dev/zero"), Path("/dev/null")])
    def test_a_device_is_not_read_to_its_end(self, device: Path) -> None:
        if device.name == "null":
            assert build_settings(Config, file=device) == Config()
        else:
            assert "larger than" in refusal(file=device)

    def test_a_pipe_can_be_the_file(self) -> None:
        reading, writing = os.pipe()
        os.write(writing, b"seed = 3\n")
        os.close(writing)
        try:
            assert build_settings(Config, file=Path(f"/dev/fd/{reading}")).seed == 3
        finally:
            os.close(reading)

    def test_reading_gives_the_tree_as_written(self, tmp_path: Path) -> None:
        (tmp_path / "a.toml").write_text("[optim]\nlr = 1\n")
        assert read_settings_file(tmp_path / "a.toml") == {"optim": {"lr": 1}}


def malformed_assignments(count: int) -> list[str]:
    """Assignments that are all wrong, in many ways, the same every time."""
    chance = random.Random(20240116)
    letters = string.ascii_letters + "._-=[]{}\"'\\\n\t\x1b\x00é日\u202e\ud800😀 "
    numbers = ["-1", "1.5", "nan", "inf", "-inf", "1e400", "true", "[]", "{}", '""', "1979-05-27", "9" * 5000, "[[[["]
    wrong: list[str] = []
    while len(wrong) < count:
        noise = "".join(chance.choices(letters, k=chance.randrange(1, 30)))
        wrong.append(
            chance.choice(
                [
                    f"{noise}={chance.choice(numbers)}",
                    f"optim.{noise}=1",
                    f"seed={chance.choice(numbers)}",
                    f"budget.steps={chance.choice([*numbers, noise + 'x'])}",
                    f"kind={noise}",
                    f"optim.beta={chance.choice(['1', '-0.1', 'nan', noise + 'z', '[0.5]'])}",
                    f"compile={noise}?",
                    f"{chance.choice(['optim', 'budget'])}={chance.choice(numbers[:4])}",
                    noise.replace("=", ""),
                ]
            )
        )
    return wrong


def test_three_hundred_malformed_settings_are_each_refused_in_one_line() -> None:
    cases = malformed_assignments(400)
    for text in cases:
        assert len(refusal(assignments=[text])) < 1000, text
    assert len({re.sub(r"\W", "", refusal(assignments=[text])) for text in cases}) > 200, "the cases hardly differ"


WORDS = st.text(max_size=20)
JSON_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(WORDS | st.sampled_from(sorted(Config.model_fields)), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=st.dictionaries(WORDS | st.sampled_from(sorted(Config.model_fields)), JSON_TREES, max_size=4))
def test_any_tree_gives_settings_or_one_line(tree: dict[str, object]) -> None:
    try:
        built = validate(Config, tree)
    except ConfigError as error:
        assert str(error).isprintable()
    else:
        assert validate(Config, json.loads(built.to_json())) == built
        assert math.isfinite(built.optim.lr)


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(codec=None), max_size=40))
def test_any_text_after_set_gives_settings_or_one_line(text: str) -> None:
    try:
        build_settings(Config, assignments=[text])
    except ConfigError as error:
        assert str(error).isprintable()


@given(text=st.text(st.characters(codec=None)))
def test_printable_text_is_one_line_that_any_terminal_takes(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("optim.learning_rate", "optim.lr"),
        ("model.d_model", "model.model_dim"),
        ("model.n_layers", "model.layer_count"),
        ("batch_size", "batch_seqs"),
    ],
)
def test_a_name_from_another_project_is_led_to_ours(theirs: str, ours: str) -> None:
    from atinuke.train.config import TrainConfig

    with pytest.raises(ConfigError, match=f"{theirs} .*is not a setting. Did you mean {ours}\\?"):
        build_settings(TrainConfig, assignments=[f"{theirs}=3"])
