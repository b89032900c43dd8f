from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline.sentences import FIRST_PIECE_MAX, PIECE_MAX, SentenceCutter, speakable


def cut(texts: Iterable[str]) -> list[str]:
    cutter = SentenceCutter()
    pieces = [piece for text in texts for piece in cutter.feed(text)]
    return pieces + cutter.finish()


def test_the_first_two_pieces_end_at_a_clause_and_the_others_at_sentences() -> None:
    text = (
        "Buenos días, Ana. Hoy hace mucho sol en la costa, pero no en el interior. Mañana lloverá en el norte, según"
        " dicen, por la tarde. Lleva un paraguas si sales, por favor. Que te vaya bien."
    )
    assert cut([text]) == [
        "Buenos días,",
        "Ana. Hoy hace mucho sol en la costa,",
        "pero no en el interior. Mañana lloverá en el norte, según dicen, por la tarde.",
        "Lleva un paraguas si sales, por favor. Que te vaya bien.",
    ]


def test_a_second_piece_ends_at_a_clause_too() -> None:
    cutter = SentenceCutter()
    assert cutter.feed("Buenos días, hoy hace mucho sol en toda la costa norte, pero ") == [
        "Buenos días,",
        "hoy hace mucho sol en toda la costa norte,",
    ]


def test_a_line_break_ends_a_first_piece() -> None:
    cutter = SentenceCutter()
    assert cutter.feed("Hay tres cosas\n") == ["Hay tres cosas"]


def test_a_long_sentence_is_cut_at_a_clause_if_it_has_one() -> None:
    road = "gira a la izquierda por la calle que baja hasta el río y sigue por la sombra hasta el puente viejo."
    assert cut([f"Claro que sí. Cuando llegues a la plaza, {road}"]) == [
        "Claro que sí.",
        "Cuando llegues a la plaza,",
        road,
    ]


def test_a_first_piece_without_any_mark_is_cut_at_a_word() -> None:
    first, *rest = cut(["palabra " * 20])
    assert len(first) <= FIRST_PIECE_MAX
    assert " ".join([first, *rest]) == ("palabra " * 20).strip()


def test_a_piece_comes_as_soon_as_its_end_is_certain() -> None:
    cutter = SentenceCutter()
    assert cutter.feed("Son las tres y media.") == []
    assert cutter.feed(" ") == ["Son las tres y media."]


@pytest.mark.parametrize(
    "text",
    [
        "Cuesta 3.50 euros y pesa 1.250 gramos en total.",
        "Quedamos a las 10:30 con el Dr. Pérez y la Sra. Gil.",
        "Lo firmó J. Gómez en Madrid, p. ej. ayer.",
    ],
)
def test_a_mark_inside_a_number_or_after_an_abbreviation_ends_nothing(text: str) -> None:
    for piece in cut([text]):
        assert not piece.endswith(("3.", "1.", "10:", "Dr.", "Sra.", "J.", "p."))


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("**Hola**, _Ana_", "Hola, Ana"),
        ("- uno\n- dos", "uno dos"),
        ("mira [la página](https://example.org/a?b=c)", "mira la página"),
        ("Hace 20 °C 🌞👍🏽", "Hace 20 °C"),
        ("`rm -rf`", "rm -rf"),
        ("***", ""),
        ("🙂", ""),
    ],
)
def test_what_cannot_be_said_is_left_out(written: str, spoken: str) -> None:
    assert speakable(written) == spoken


def test_a_reply_of_nothing_that_can_be_said_has_no_pieces() -> None:
    assert cut(["🙂 ", "** **", "\n\n"]) == []


words = st.lists(
    st.sampled_from(
        ["hola", "Sr.", "3.50", "qué", "tal,", "bien.", "¿y", "tú?", "sí!", "\n", "10:30", "…", "—", "**a**"]
    ),
    max_size=60,
)


@given(words, st.lists(st.integers(1, 12), min_size=1))
def test_the_cuts_depend_on_the_text_alone(said: list[str], sizes: list[int]) -> None:
    text = " ".join(said)
    parts = []
    at = turn = 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        parts.append(text[at : at + size])
        at += size
        turn += 1
    assert cut(parts) == cut([text]) == cut(text)


@given(st.text(max_size=600))
def test_no_piece_is_too_long_and_no_word_is_lost(text: str) -> None:
    pieces = cut([text])
    assert all(piece and len(piece) <= PIECE_MAX for piece in pieces)
    letters = [c for c in "".join(pieces) if c.isalpha()]
    if not any(mark in text for mark in "[]()"):
        assert letters == [c for c in speakable(text) if c.isalpha()] or not speakable(text)
