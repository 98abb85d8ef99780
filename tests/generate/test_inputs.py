"""Pictures and sounds from files: the answer is the network's, and whatever cannot be read is named in one line."""

import io
import json
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import resample_poly

from atinuke.config import printable
from atinuke.errors import AtinukeError, ConfigError, RunFolderError, SourceError
from atinuke.generate import inputs
from atinuke.generate.config import GenerateConfig
from atinuke.generate.inputs import answer_inputs, answer_text
from atinuke.generate.loading import TrainedRun, load_trained
from atinuke.generate.run import run
from atinuke.models.layers.prefix import Prefix
from atinuke.testing import make_answerer, make_classifier, make_run

LABELS = ("0", "1", "2")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return load_trained(make_answerer(tmp_path_factory.mktemp("runs") / "digits", labels=LABELS), "cpu")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What random weights write never ends by itself."""
    monkeypatch.setattr(inputs, "LONGEST_ANSWER", 6)


def write_sound(path: Path, samples: np.ndarray, rate_hz: int) -> str:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return str(path)


def write_picture(path: Path, side: int = 8, seed: int = 0) -> str:
    pixels = np.random.default_rng(seed).integers(0, 256, side * side, dtype=np.uint8).tobytes()
    path.write_bytes(f"P5 {side} {side} 255\n".encode() + pixels)
    return str(path)


def written(trained: TrainedRun, *names: str, **more: object) -> list[str]:
    out = io.StringIO()
    run(GenerateConfig.model_validate({"run": trained.folder.path, "device": "cpu", "inputs": names, **more}), out)
    return out.getvalue().splitlines()


def chances(trained: TrainedRun, prefix: Prefix, question: str = "") -> dict[str, float]:
    """Softmax over the labels' logits after the end token; each label is one token."""
    tokens = [*trained.tokenizer.encode(question).tolist(), trained.tokenizer.end_id]
    with torch.no_grad():
        logits = trained.decoder(torch.tensor([tokens]), None, "causal", prefix)[0, -1].double()
    ids = [int(trained.tokenizer.encode(label)[0]) for label in LABELS]
    return dict(zip(LABELS, logits[ids].softmax(dim=0).tolist(), strict=True))


def refusal(error: type[AtinukeError], trained: TrainedRun, *names: object) -> str:
    with pytest.raises(error) as caught:
        written(trained, *map(str, names))
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("question", ["", "Which?"])
def test_a_picture_gets_the_chances_of_its_bytes(trained: TrainedRun, tmp_path: Path, question: str) -> None:
    name = write_picture(tmp_path / "a.pgm")
    pixels = torch.tensor(list(Path(name).read_bytes()[-64:])).view(1, 1, 8, 8) / 255
    [answer] = answer_inputs(trained, [name], question)
    expected = chances(trained, Prefix("picture", pixels), question)
    assert answer.facts["probabilities"] == pytest.approx(expected, abs=1e-5)
    assert list(answer.facts["probabilities"]) == sorted(expected, key=lambda label: -expected[label])
    assert answer.facts["input"] == name and answer.facts["question"] == question
    assert answer.line.startswith(f"{name}: {printable(answer.facts['answer'])}") and answer.line.isprintable()


def test_a_text_gets_the_chances_of_what_follows_it(trained: TrainedRun) -> None:
    answer = answer_text(trained, "Humpty Dumpty sat")
    tokens = [*trained.tokenizer.encode("Humpty Dumpty sat").tolist(), trained.tokenizer.end_id]
    with torch.no_grad():
        logits = trained.decoder(torch.tensor([tokens]))[0, -1].double()
    ids = [int(trained.tokenizer.encode(label)[0]) for label in LABELS]
    expected = dict(zip(LABELS, logits[ids].softmax(dim=0).tolist(), strict=True))
    assert answer.facts["probabilities"] == pytest.approx(expected, abs=1e-5)
    assert answer.facts["input"] == "Humpty Dumpty sat"


def test_the_question_matters(trained: TrainedRun, tmp_path: Path) -> None:
    name = write_picture(tmp_path / "a.pgm")
    [plain], [asked] = answer_inputs(trained, [name], ""), answer_inputs(trained, [name], "Which?")
    assert plain.facts["probabilities"] != asked.facts["probabilities"]


def test_a_sound_of_another_rate_is_heard_as_at_the_own_rate_and_that_is_said(
    trained: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = np.arange(1600) / 16000
    sound = 0.4 * np.sin(2 * np.pi * 440 * seconds) + 0.3 * np.sin(2 * np.pi * 900 * seconds)
    own = write_sound(tmp_path / "own.wav", resample_poly(sound, 1, 2), 8000)
    other = write_sound(tmp_path / "other.wav", sound, 16000)
    first, second = answer_inputs(trained, [own, other], "")
    assert capsys.readouterr().err == f"{other} was resampled from 16,000 to 8,000 samples per second.\n"
    samples = torch.from_numpy((resample_poly(sound, 1, 2) * 32767).astype("<i2").astype(np.float32) / 32768)
    expected = chances(trained, Prefix("sound", samples[None], torch.tensor([800])))
    assert first.facts["probabilities"] == pytest.approx(expected, abs=1e-4)
    # the two filters differ at the ends of so short a sound
    assert second.facts["probabilities"] == pytest.approx(expected, abs=0.05)


def test_a_longer_sound_is_heard_as_far_as_training_heard_and_that_is_said(
    trained: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 4000)
    assert trained.network.sound is not None and trained.network.sound.max_s == pytest.approx(0.1)
    long, short = write_sound(tmp_path / "l.wav", noise, 8000), write_sound(tmp_path / "s.wav", noise[:800], 8000)
    first, second = answer_inputs(trained, [long, short], "")
    assert capsys.readouterr().err == f"{long} was cut to its first 0.1 s.\n"
    assert first.facts["probabilities"] == second.facts["probabilities"]


def test_a_picture_of_another_size_is_stretched_and_that_is_said(
    trained: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = tmp_path / "grey.pgm"
    grey.write_bytes(b"P5 20 12 255\n" + bytes([100]) * 240)
    [answer] = answer_inputs(trained, [str(grey)], "")
    assert capsys.readouterr().err == f"{grey} was stretched from 12 × 20 to 8 × 8 pixels.\n"
    expected = chances(trained, Prefix("picture", torch.full((1, 1, 8, 8), 100 / 255)))
    assert answer.facts["probabilities"] == pytest.approx(expected, abs=1e-5)


def test_files_are_answered_in_their_order_as_lines_and_as_json(trained: TrainedRun, tmp_path: Path) -> None:
    names = [write_picture(tmp_path / f"{seed}.pgm", seed=seed) for seed in (2, 0, 1)]
    names.insert(1, write_sound(tmp_path / "x.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 800), 8000))
    answers = list(answer_inputs(trained, names, "Which?"))
    assert written(trained, *names, prompts=("Which?",)) == [answer.line for answer in answers]
    rows = [json.loads(line) for line in written(trained, *names, prompts=("Which?",), as_json=True)]
    assert [row["input"] for row in rows] == names
    assert rows == [json.loads(json.dumps(answer.facts)) for answer in answers]


def test_a_picture_that_is_broken_is_refused(trained: TrainedRun, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    for content in (b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)):
        broken.write_bytes(content)
        assert "broken.png cannot be read as a picture" in refusal(SourceError, trained, broken)


def test_a_sound_that_is_broken_is_refused(trained: TrainedRun, tmp_path: Path) -> None:
    whole = Path(write_sound(tmp_path / "a.wav", np.zeros(800), 8000)).read_bytes()
    for content in (b"", b"no sound", whole[:100], whole[:44]):
        (tmp_path / "a.wav").write_bytes(content)
        assert "a.wav cannot be read as a sound" in refusal(SourceError, trained, tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["none.png", "none.wav"])
def test_a_file_that_is_missing_is_named(trained: TrainedRun, tmp_path: Path, name: str) -> None:
    assert f"{name} cannot be read" in refusal(SourceError, trained, tmp_path / name)


def test_a_folder_is_no_picture(trained: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    assert "folder.png cannot be read" in refusal(SourceError, trained, tmp_path / "folder.png")


def test_a_name_that_is_neither_is_refused_even_with_signs_that_steer_a_terminal(trained: TrainedRun) -> None:
    assert "neither a picture nor a sound by its name" in refusal(ConfigError, trained, "a\x1b[2Jb\n.txt")


def test_a_run_that_has_seen_and_heard_nothing_says_so(tmp_path: Path) -> None:
    text = load_trained(make_run(tmp_path / "text"), "cpu")
    picture, sound = write_picture(tmp_path / "a.pgm"), write_sound(tmp_path / "a.wav", np.zeros(800), 8000)
    assert "a.pgm is a picture, and this run was not trained on pictures" in refusal(RunFolderError, text, picture)
    assert "a.wav is a sound, and this run was not trained on sounds" in refusal(RunFolderError, text, sound)


def test_a_run_on_tables_takes_a_picture_for_no_table(tmp_path: Path) -> None:
    table = load_trained(make_classifier(tmp_path / "table"), "cpu")
    assert "a.pgm" in refusal(SourceError, table, write_picture(tmp_path / "a.pgm"))


def test_what_was_answered_before_a_bad_file_is_there(trained: TrainedRun, tmp_path: Path) -> None:
    good, out = write_picture(tmp_path / "a.pgm"), io.StringIO()
    asked = {"run": trained.folder.path, "device": "cpu", "inputs": (good, str(tmp_path / "none.png"))}
    with pytest.raises(SourceError):
        run(GenerateConfig.model_validate(asked), out)
    assert out.getvalue().startswith(f"{good}: ")


def test_a_text_that_is_too_long_is_cut_and_that_is_said(
    trained: TrainedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = "Humpty Dumpty sat on a wall. " * 40
    room = trained.context - 2  # the end, and a label of one token
    ids = trained.tokenizer.encode(whole).tolist()
    answer = answer_text(trained, whole)
    said = capsys.readouterr().err
    assert said.endswith(f"… was cut from {len(ids):,} to its first {room} tokens: so many are read at once.\n")
    with torch.no_grad():
        logits = trained.decoder(torch.tensor([[*ids[:room], trained.tokenizer.end_id]]))[0, -1].double()
    labels = [int(trained.tokenizer.encode(label)[0]) for label in LABELS]
    expected = dict(zip(LABELS, logits[labels].softmax(dim=0).tolist(), strict=True))
    assert answer.facts["probabilities"] == pytest.approx(expected, abs=1e-5)
    assert answer.facts["input"] == whole


def test_a_question_that_is_too_long_is_refused(trained: TrainedRun, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"The question has .* tokens .* give a shorter one"):
        list(answer_inputs(trained, [write_picture(tmp_path / "a.pgm")], "Which is it? " * 40))
