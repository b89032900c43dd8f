from datetime import datetime

import pytest

from gateway.config import Settings
from gateway.engines.llm.offline import OfflineChat, told_name
from gateway.engines.llm.spoken_time import english_time, spanish_time
from tests.conformance.llm import NOW, ChatConformance, request, whole


@pytest.fixture
def engine() -> OfflineChat:
    return OfflineChat.from_settings(Settings())


class TestOfflineChat(ChatConformance):
    @pytest.mark.parametrize(
        ("question", "answer"),
        [
            ("¿Qué hora es?", "Son las cinco y cinco de la tarde."),
            ("que hora es", "Son las cinco y cinco de la tarde."),
            ("¿Qué día es hoy?", "Hoy es domingo 22 de noviembre de 2026."),
            ("¿Qué te pregunté antes?", "Es tu primera pregunta."),
            ("¿Cómo me llamo?", "No me has dicho cómo te llamas."),
            ("Me llamo Ana.", "Encantado, Ana."),
            ("Gracias, adiós.", "De nada. ¡Hasta luego!"),
            ("Sube el volumen.", "He oído: Sube el volumen. No tengo ningún modelo de lenguaje configurado."),
            (
                "¿A qué hora sale el sol?",
                "He oído: ¿A qué hora sale el sol? No tengo ningún modelo de lenguaje configurado.",
            ),
        ],
    )
    async def test_answers_in_spanish(self, engine: OfflineChat, question: str, answer: str) -> None:
        assert await whole(engine, request(question)) == answer

    @pytest.mark.parametrize(
        ("question", "answer"),
        [
            ("What time is it?", "It is five minutes past five in the afternoon."),
            ("What day is today?", "Today is Sunday, November 22, 2026."),
            ("What did I ask before?", "It is your first question."),
            ("What is my name?", "You have not told me your name."),
            ("My name is Peter.", "Nice to meet you, Peter."),
            ("Thank you, goodbye.", "You are welcome. Goodbye!"),
            ("Stop the music.", "I heard: Stop the music. I have no language model configured."),
        ],
    )
    async def test_answers_in_english(self, engine: OfflineChat, question: str, answer: str) -> None:
        assert await whole(engine, request(question, language="en")) == answer

    @pytest.mark.parametrize(
        ("question", "language"),
        [("¿Quién eres?", "es"), ("¿Qué puedes hacer?", "es"), ("Who are you?", "en"), ("Qui es-tu? Help!", "fr")],
    )
    async def test_says_that_it_has_no_model(self, engine: OfflineChat, question: str, language: str) -> None:
        answer = await whole(engine, request(question, language=language))
        assert ("modelo de lenguaje" in answer) if language == "es" else ("language model" in answer)

    async def test_greets_by_name(self, engine: OfflineChat) -> None:
        assert (await whole(engine, request("Hola, ¿cómo estás?"))).startswith("Hola. ")
        assert (await whole(engine, request("Me llamo Ana.", "…", "Buenos días."))).startswith("Hola, Ana. ")
        assert (await whole(engine, request("My name is Anna.", "…", "Good morning.", language="en"))).startswith(
            "Hello, Anna. "
        )

    async def test_repeats_the_question_before(self, engine: OfflineChat) -> None:
        talk = ("¿Qué hora es?", "Son las tres.", "Sube el volumen.", "…", "¿Qué te pregunté antes?")
        assert await whole(engine, request(*talk)) == "Antes me preguntaste: Sube el volumen."
        talk = ("What time is it?", "It is three.", "What did I ask before?")
        assert await whole(engine, request(*talk, language="en")) == "Before, you asked: What time is it?"

    async def test_knows_the_name_that_was_told_last(self, engine: OfflineChat) -> None:
        talk = ("Me llamo Ana.", "Encantado.", "Me llamo Luis.", "Encantado.", "¿Cómo me llamo?")
        assert await whole(engine, request(*talk)) == "Te llamas Luis."
        talk = ("My name is anna, hello.", "Hi.", "What is my name?")
        assert await whole(engine, request(*talk, language="en")) == "Your name is Anna."

    async def test_quotes_only_the_beginning_of_a_long_question(self, engine: OfflineChat) -> None:
        answer = await whole(engine, request("palabra " * 100))
        assert len(answer) < 200
        assert "palabra…" in answer


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hola, me llamo María José y vivo aquí", "María"),
        ("Mi nombre es o'neill.", "O'neill"),
        ("¿Me llamo Ana?", None),
        ("No me llamo Ana.", None),
        ("My name is not important.", None),
        ("Nada.", None),
    ],
)
def test_told_names(text: str, name: str | None) -> None:
    assert told_name(text) == name


def at(hour: int, minute: int) -> datetime:
    return NOW.replace(hour=hour, minute=minute)


@pytest.mark.parametrize(
    ("hour", "minute", "spanish", "english"),
    [
        (0, 0, "Son las doce en punto de la madrugada.", "It is twelve o'clock at night."),
        (1, 1, "Es la una y uno de la madrugada.", "It is one minute past one in the morning."),
        (9, 15, "Son las nueve y cuarto de la mañana.", "It is a quarter past nine in the morning."),
        (13, 30, "Es la una y media de la tarde.", "It is half past one in the afternoon."),
        (16, 16, "Son las cuatro y dieciséis de la tarde.", "It is sixteen minutes past four in the afternoon."),
        (
            20,
            59,
            "Son las ocho y cincuenta y nueve de la tarde.",
            "It is fifty-nine minutes past eight in the evening.",
        ),
        (23, 22, "Son las once y veintidós de la noche.", "It is twenty-two minutes past eleven at night."),
        (23, 40, "Son las once y cuarenta de la noche.", "It is forty minutes past eleven at night."),
    ],
)
def test_times_in_words(hour: int, minute: int, spanish: str, english: str) -> None:
    assert spanish_time(at(hour, minute)) == spanish
    assert english_time(at(hour, minute)) == english


def test_every_minute_of_the_day_has_its_own_words() -> None:
    minutes = [at(hour, minute) for hour in range(24) for minute in range(60)]
    assert len({(spanish_time(now), now.hour // 12) for now in minutes}) == 1440
    assert len({(english_time(now), now.hour // 12) for now in minutes}) == 1440
