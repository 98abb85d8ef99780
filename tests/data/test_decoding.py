import codecs
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data import decoding
from atinuke.data.decoding import Encoding, decode, gather_parts, guess_codec, judge
from atinuke.data.documents import Unusable

SENTENCES = {
    "cp1252": "Où sont les élèves ? Ils façonnaient des œuvres étranges près du château ; ça coûte 5 € — “oui”. ",
    "latin_1": "El niño comió jalapeños y bebió agua del río; ¿quién pagó la cuenta del café? ¡Mañana será otro día! ",
    "cp1250": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw; są obdarzeni rozumem. ",
    "iso8859_2": "Žluťoučký kůň příliš úpěl ďábelské ódy a šťastně běžel přes louku, než se setmělo nad řekou. ",
    "cp1254": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar; çünkü öğrenirler. ",
    "cp1251": "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. ",
    "koi8_r": "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. ",
    "cp1253": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. ",
    "shift_jis": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "euc_jp": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "gb18030": "道可道,非常道。名可名,非常名。无名天地之始;有名万物之母。",
    "big5": "道可道,非常道。名可名,非常名。無名天地之始;有名萬物之母。",
    "euc_kr": "모든 국민은 인간으로서의 존엄과 가치를 가지며, 행복을 추구할 권리를 가진다. ",
}


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def text_of(data: bytes, size: int = 1 << 20) -> tuple[str, Encoding]:
    encoding = judge(pieces(data, size))
    return "".join(decode(pieces(data, size), encoding)), encoding


# Any text but binary ones: no NUL, and not mostly control characters.
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])).filter(
    lambda text: not text.startswith("\ufeff")
)


@given(TEXTS, st.integers(4, 50))
def test_utf8_text_comes_back_exactly_whatever_the_pieces(text: str, size: int) -> None:
    if not any(text.encode().startswith(signature) for signature, _ in decoding._SIGNATURES):
        assert text_of(text.encode(), size) == (text, Encoding("utf-8"))


@given(st.binary(max_size=300), st.integers(4, 50))
def test_any_bytes_are_text_or_refused_and_pieces_make_no_difference(data: bytes, size: int) -> None:
    try:
        whole = text_of(data)
    except Unusable:
        with pytest.raises(Unusable):
            text_of(data, size)
    else:
        assert text_of(data, size) == whole


@pytest.mark.parametrize("codec", SENTENCES)
@pytest.mark.parametrize("repeats", [3, 3000])
def test_other_encodings_are_detected_and_named(codec: str, repeats: int) -> None:
    text = SENTENCES[codec] * repeats
    decoded, encoding = text_of(text.encode(codec))
    assert decoded == text
    assert encoding.note == encoding.codec != "utf-8"


@pytest.mark.parametrize("word", ["café déjà vu", "naïve", "Müller und Söhne", "£20"])
def test_a_few_latin_words_are_enough(word: str) -> None:
    assert text_of(word.encode("cp1252"))[0] == word


@pytest.mark.parametrize("codec", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_settles_the_encoding_and_is_dropped(codec: str) -> None:
    text = "Ọ̀rọ̀ àkọ́kọ́, 猫 𝄞\r\n"
    decoded, encoding = text_of(text.encode(codec), size=5)
    assert decoded == text
    assert encoding.note == ("" if codec == "utf-8-sig" else codec)


def test_big_endian_marks_are_known_too() -> None:
    assert text_of(codecs.BOM_UTF16_BE + "añb".encode("utf-16-be"))[0] == "añb"
    assert text_of(codecs.BOM_UTF32_BE + "añb".encode("utf-32-be"))[0] == "añb"


def test_new_lines_stay_as_they_are() -> None:
    assert text_of(b"a\r\nb\rc\n")[0] == "a\r\nb\rc\n"


def test_an_accent_long_after_the_beginning_is_still_found() -> None:
    text = "plain words\n" * 200_000 + "déjà vu, façade, élève\n"
    assert text_of(text.encode("cp1252"), size=1 << 16) == (text, Encoding("cp1252", "cp1252"))


def test_a_character_cut_off_at_the_end_is_dropped_and_said() -> None:
    data = "des élèves à l'école €".encode()[:-1]
    decoded, encoding = text_of(data, size=7)
    assert decoded == "des élèves à l'école "
    assert "incomplete" in encoding.note


def test_mostly_utf8_is_not_taken_for_another_encoding() -> None:
    good = "Où sont les élèves de l'école ? ".encode()
    with pytest.raises(Unusable, match=f"broken UTF-8 at byte {len(good)}"):
        text_of(good + b"\xff " + good)


def test_a_fault_far_into_a_utf8_file_is_a_fault_not_a_guess() -> None:
    good = "élève\n".encode() * 100_000
    with pytest.raises(Unusable, match=f"not utf-8 near byte {len(good)}"):
        text_of(good + b"\xe9 \n" * 1000, size=1 << 16)


def test_a_nul_byte_is_named_with_its_place() -> None:
    with pytest.raises(Unusable, match="NUL byte at byte 70000"):
        text_of(b"x" * 70_000 + b"\0" + b"x" * 10, size=4096)
    with pytest.raises(Unusable, match="NUL byte at byte 700000"):
        text_of("é".encode() * 350_000 + b"\0", size=4096)


@pytest.mark.parametrize(
    ("data", "what"),
    [(b"%PDF-1.7\n text", "PDF"), (b"PAR1 and so on", "Parquet"), (b"\x1f\x8b\x08 rest", "gzip"), (b"\x89PNG", "PNG")],
)
def test_well_known_binary_formats_are_named(data: bytes, what: str) -> None:
    with pytest.raises(Unusable, match=what):
        text_of(data)


def test_control_characters_make_a_file_binary_and_terminal_colours_do_not() -> None:
    with pytest.raises(Unusable, match="control"):
        text_of(b"\x01\x02\x03\x04" * 100)
    assert text_of(b"\x1b[31mred\x1b[0m\tand\x0cblack\n" * 50)[0].startswith("\x1b[31mred")


def test_random_bytes_without_nul_are_refused() -> None:
    noise = random.Random(0)
    for _ in range(50):
        with pytest.raises(Unusable):
            text_of(bytes(noise.randrange(1, 256) for _ in range(2000)))


def test_the_guess_needs_a_bounded_sample_only(monkeypatch: pytest.MonkeyPatch) -> None:
    import charset_normalizer

    lengths: list[int] = []
    original = charset_normalizer.from_bytes
    monkeypatch.setattr(charset_normalizer, "from_bytes", lambda data: (lengths.append(len(data)), original(data))[1])
    guess_codec("élève ".encode("cp1252") * 100_000)
    assert lengths
    assert max(lengths) <= decoding.SAMPLE_BYTES


@given(st.lists(st.text("ab\nü", max_size=30)))
def test_parts_are_bounded_join_to_the_text_and_end_with_lines(texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "PART_CHARS", 16)
        parts = list(gather_parts(texts))
    assert "".join(parts) == "".join(texts)
    assert all(0 < len(part) <= 16 for part in parts)
    assert all(part.endswith("\n") or "\n" not in part[-2:] for part in parts[:-1])
