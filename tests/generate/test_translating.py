"""Translating is beam search over the ids of the text; order, empty texts and texts that are too long."""

import io
import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atinuke.data.pairs import Layout, longest_source
from atinuke.errors import ConfigError, RunFolderError
from atinuke.generate import translating
from atinuke.generate.beam import SearchRules, write_all
from atinuke.generate.config import GenerateConfig
from atinuke.generate.loading import TrainedRun, load_trained
from atinuke.generate.run import run
from atinuke.generate.translating import Translator
from atinuke.models.decoder import Decoder
from atinuke.testing import PAIRS, make_classifier, make_run, make_translator

TEXTS = [source for source, _ in PAIRS]


@pytest.fixture(scope="module", params=["seq2seq", "rnn-seq2seq", "gpt"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return load_trained(make_translator(tmp_path_factory.mktemp("runs") / request.param, request.param, seed=1), "cpu")


@pytest.fixture(scope="module")
def encoder_decoder(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return load_trained(make_translator(tmp_path_factory.mktemp("runs") / "pairs", seed=1), "cpu")


def printed(trained: TrainedRun, *sources: str, stdin: list[str] | None = None, **more: object) -> str:
    out = io.StringIO()
    asked = {"run": trained.folder.path, "device": "cpu", "sources": sources, "beam": 2, **more}
    run(GenerateConfig.model_validate(asked), out, stdin)
    return out.getvalue()


def searched(trained: TrainedRun, texts: list[str], beam: int) -> list[str]:
    """The translations by beam search on ids, each by itself."""
    end_id, found = trained.tokenizer.end_id, []
    for text in texts:
        row = [int(id) for id in trained.tokenizer.encode(text)]
        most = 2 * 2 ** math.ceil(math.log2(len(row))) + 20
        if isinstance(trained.model, Decoder):
            row, most = [*row, end_id], min(most, 48 - len(row) - 1)
        [written] = write_all(trained.model, [row], SearchRules(end_id, min(most, 48), beam))
        found.append(trained.tokenizer.decode(written.ids).strip())
    return found


@pytest.mark.parametrize("beam", [1, 3])
def test_a_translation_is_what_beam_search_finds_for_the_ids(trained: TrainedRun, beam: int) -> None:
    found = list(Translator.of_run(trained, beam=beam).translate(TEXTS[:4]))
    assert found == searched(trained, TEXTS[:4], beam)
    assert len(set(found)) > 1


def test_the_order_is_kept_where_texts_of_like_length_go_together(
    trained: TrainedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [text for text in TEXTS if len(trained.tokenizer.encode(text)) == len(trained.tokenizer.encode(TEXTS[0]))]
    texts = texts[:5]
    assert len(set(texts)) == 5
    mixed = [part for text in texts for part in (text, "", "Mauer")]
    translator = Translator.of_run(trained, beam=1)
    together = list(translator.translate(mixed))
    alone = [next(translator.translate([text, "Mauer"])) for text in texts]
    assert together[::3] == alone and len(set(alone)) > 1
    monkeypatch.setattr(translating, "AT_ONCE", 2)
    assert list(translator.translate(texts)) == [next(translator.translate([text])) for text in texts]


def test_an_empty_text_stays_empty_among_others_and_alone(trained: TrainedRun) -> None:
    translator = Translator.of_run(trained, beam=1)
    some = list(translator.translate(["", TEXTS[0], "  \n ", TEXTS[1]]))
    assert some[0] == some[2] == ""
    assert [some[1], some[3]] == list(translator.translate(TEXTS[:2]))
    assert list(translator.translate(["", " "])) == ["", ""]
    assert list(translator.translate([])) == []


def test_white_space_around_a_text_does_not_matter(trained: TrainedRun) -> None:
    translator = Translator.of_run(trained, beam=1)
    assert list(translator.translate([f" {TEXTS[0]}\n"])) == list(translator.translate([TEXTS[0]]))


def test_a_text_that_is_too_long_is_refused_in_one_line(trained: TrainedRun) -> None:
    most = 24 if isinstance(trained.model, Decoder) else 48
    with pytest.raises(ConfigError, match=rf"tokens; this network was trained for at most {most}\.") as caught:
        list(Translator.of_run(trained).translate(["short", "Ma\x1b\nuer " * 60]))
    assert str(caught.value).isprintable()


def test_as_long_a_source_is_accepted_as_was_learned_from(trained: TrainedRun) -> None:
    translator = Translator.of_run(trained)
    layout: Layout = "decoder-only" if isinstance(trained.model, Decoder) else "encoder-decoder"
    longest = longest_source(trained.context, layout)
    assert translator.longest_source == longest == (24 if layout == "decoder-only" else 48)


def test_the_longest_text_that_is_accepted_is_translated(trained: TrainedRun) -> None:
    translator = Translator.of_run(trained, beam=1)
    [text], cut = translator.cut(["7 " * 200])
    assert cut == 1
    assert len(trained.tokenizer.encode(text.strip())) <= translator.longest_source
    assert len(list(translator.translate([text]))) == 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.sampled_from("aß€😀\u0301 \n\x00"), max_size=40), max_size=3))
def test_what_was_cut_is_short_enough_and_the_rest_is_as_it_was(encoder_decoder: TrainedRun, texts: list[str]) -> None:
    translator = Translator(encoder_decoder.model, encoder_decoder.tokenizer, context=9)
    encode = encoder_decoder.tokenizer.encode
    short, cut = translator.cut(texts)
    assert cut == sum(len(encode(text.strip())) > 9 for text in texts)
    for before, after in zip(texts, short, strict=True):
        assert len(encode(after.strip())) <= 9
        assert before.strip().startswith(after.strip()) if len(encode(before.strip())) > 9 else after == before


def test_of_a_text_that_is_cut_as_much_stays_as_fits(encoder_decoder: TrainedRun) -> None:
    translator = Translator(encoder_decoder.model, encoder_decoder.tokenizer, context=9)
    ids = encoder_decoder.tokenizer.encode(TEXTS[0] * 3)
    assert translator.cut([TEXTS[0] * 3]) == ([encoder_decoder.tokenizer.decode(ids[:9]).strip()], 1)


def test_the_command_writes_one_line_for_each_text_in_their_order(encoder_decoder: TrainedRun) -> None:
    expected = list(Translator.of_run(encoder_decoder, beam=2).translate(TEXTS[:3]))
    assert printed(encoder_decoder, *TEXTS[:3]) == "".join(f"{text}\n" for text in expected)
    assert printed(encoder_decoder, "-", stdin=[f"{text}\n" for text in TEXTS[:3]]) == printed(
        encoder_decoder, *TEXTS[:3]
    )


def test_json_has_source_and_target_in_each_line(encoder_decoder: TrainedRun) -> None:
    rows = [json.loads(line) for line in printed(encoder_decoder, *TEXTS[:2], "", as_json=True).splitlines()]
    expected = Translator.of_run(encoder_decoder, beam=2).translate([*TEXTS[:2], ""])
    assert rows == [{"source": s, "target": t} for s, t in zip([*TEXTS[:2], ""], expected, strict=True)]


def test_beam_and_length_penalty_reach_the_search(encoder_decoder: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[SearchRules] = []

    def remember(model: object, rows: list[list[int]], rules: SearchRules) -> list[object]:
        seen.append(rules)
        return write_all(encoder_decoder.model, rows, rules)  # type: ignore[arg-type, return-value]

    monkeypatch.setattr(translating, "write_all", remember)
    printed(encoder_decoder, TEXTS[0], beam=3, length_penalty=0.5)
    assert (seen[0].beam, seen[0].length_penalty) == (3, 0.5)


@pytest.mark.parametrize(
    ("make", "purpose"),
    [(make_run, "it continues text"), (make_classifier, "it answers for the rows of a table")],
    ids=["text", "table"],
)
def test_a_run_without_pairs_refuses_a_source_and_says_what_it_is_for(tmp_path: Path, make, purpose: str) -> None:  # type: ignore[no-untyped-def]
    other = load_trained(make(tmp_path / "run"), "cpu")
    with pytest.raises(RunFolderError, match=f"was not trained on pairs and does not translate; {purpose}:") as caught:
        printed(other, "text")
    assert str(caught.value).isprintable()


def test_a_translator_that_is_given_a_prompt_says_that_it_translates(encoder_decoder: TrainedRun) -> None:
    with pytest.raises(RunFolderError, match="seq2seq network, which does not continue text; it translates:"):
        printed(encoder_decoder, prompts=("Humpty",))
