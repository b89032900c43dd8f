"""A small honest assistant for when no language model is configured.

Pure rules over the text of the conversation, in Spanish and English: time, date, what was asked before, the name that
was told, greetings and thanks. To anything else it says what it heard, and that no language model is configured.
"""

import re
import unicodedata
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple, Self

from gateway.config import Settings
from gateway.engines.llm.spoken_time import english_date, english_time, spanish_date, spanish_time
from gateway.engines.protocols import ChatRequest

_LONGEST_QUOTE = 120
"""Characters of what was said that are repeated."""

_NAME = r"(?P<name>[^\W\d_]+(?:['’-][^\W\d_]+)*)"
_TOLD_NAME = (
    re.compile(rf"(?<!no )\b(?:me llamo|mi nombre es|ll[aá]mame)\s+{_NAME}", re.IGNORECASE),
    re.compile(rf"\b(?:my name is|my name's|call me|i am called)\s+(?!not\b){_NAME}", re.IGNORECASE),
)

_ABOUT_ES = "Sé decir la hora y la fecha, lo que me preguntaste antes y cómo te llamas."
_ABOUT_EN = "I can tell the time and the date, what you asked before and what you are called."
_NO_MODEL_ES = "No tengo ningún modelo de lenguaje configurado."
_NO_MODEL_EN = "I have no language model configured."


class Conversation(NamedTuple):
    """What a rule may look at."""

    request: ChatRequest
    questions: tuple[str, ...]
    """What the person said, oldest first, the question to answer last."""

    @property
    def name(self) -> str | None:
        """The name that the person told last."""
        for question in reversed(self.questions):
            if (name := told_name(question)) is not None:
                return name
        return None

    @property
    def before(self) -> str | None:
        return self.questions[-2] if len(self.questions) > 1 else None

    @property
    def heard(self) -> str:
        return _shortened(self.questions[-1]) if self.questions else ""


class Rule(NamedTuple):
    """Answers a question that `pattern` matches, once it is in lower case without accents."""

    pattern: re.Pattern[str]
    answer: Callable[[Conversation], str]


def _rule(pattern: str, answer: Callable[[Conversation], str]) -> Rule:
    return Rule(re.compile(pattern), answer)


# The first rule that matches answers; told names come before the table.
_SPANISH = (
    _rule(
        r"\bcomo me llamo\b|\bcual es mi nombre\b|\bsabes mi nombre\b",
        lambda talk: f"Te llamas {talk.name}." if talk.name else "No me has dicho cómo te llamas.",
    ),
    _rule(
        r"\b(que|lo que) (te|he|me)? ?(pregunte|preguntado|dije|dicho)\b|\bmi pregunta anterior\b|\bpregunte antes\b"
        r"|\blo ultimo que\b",
        lambda talk: f"Antes me preguntaste: {_shortened(talk.before)}" if talk.before else "Es tu primera pregunta.",
    ),
    _rule(r"\bque hora (es|tienes)\b|\b(dime|sabes) la hora\b", lambda talk: spanish_time(talk.request.now)),
    _rule(
        r"\bque (dia|fecha) (es|estamos)\b|\bla fecha de hoy\b|\bdime la fecha\b|\ba cuantos estamos\b",
        lambda talk: spanish_date(talk.request.now),
    ),
    _rule(
        r"\bquien eres\b|\bque (puedes|sabes) hacer\b|\bcomo te llamas\b|\bayuda(me)?\b",
        lambda _: f"Soy un asistente sencillo. {_ABOUT_ES} {_NO_MODEL_ES}",
    ),
    _rule(r"\bgracias\b|\badios\b|\bhasta (luego|manana)\b", lambda _: "De nada. ¡Hasta luego!"),
    _rule(
        r"^(hola|buenos dias|buenas( tardes| noches)?)\b",
        lambda talk: f"Hola{f', {talk.name}' if talk.name else ''}. {_ABOUT_ES}",
    ),
)
_ENGLISH = (
    _rule(
        r"\b(what is|what's|whats|say|know) my name\b|\bwhat am i called\b|\bwho am i\b",
        lambda talk: f"Your name is {talk.name}." if talk.name else "You have not told me your name.",
    ),
    _rule(
        r"\bwhat (did i|have i|i) (just )?(ask|asked|say|said)\b|\bmy (last|previous) question\b",
        lambda talk: f"Before, you asked: {_shortened(talk.before)}" if talk.before else "It is your first question.",
    ),
    _rule(
        r"\bwhat time is it\b|\bwhat('s| is) the time\b|\btell me the time\b",
        lambda talk: english_time(talk.request.now),
    ),
    _rule(
        r"\bwhat (day|date) is (it|today)\b|\bwhat('s| is) (the|today's) date\b|\btell me the date\b",
        lambda talk: english_date(talk.request.now),
    ),
    _rule(
        r"\bwho are you\b|\bwhat can you do\b|\bwhat is your name\b|\bhelp\b",
        lambda _: f"I am a simple assistant. {_ABOUT_EN} {_NO_MODEL_EN}",
    ),
    _rule(r"\bthanks?\b|\bthank you\b|\bgoodbye\b|\bbye\b", lambda _: "You are welcome. Goodbye!"),
    _rule(
        r"^(hello|hi|hey|good (morning|afternoon|evening))\b",
        lambda talk: f"Hello{f', {talk.name}' if talk.name else ''}. {_ABOUT_EN}",
    ),
)


class OfflineChat:
    """Answers at once, from the request alone: it keeps nothing between requests, and nothing of other devices."""

    name = "offline"
    description = "offline (no language model: time, date, what was said before)"

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls()

    async def start(self) -> None:
        """There is nothing to load."""

    async def close(self) -> None:
        """There is nothing to release."""

    async def reply(self, request: ChatRequest) -> AsyncGenerator[str]:
        """Answer, a word at a time, as a language model would."""
        for piece in re.findall(r"\S+\s*", answer(request)):
            yield piece


def answer(request: ChatRequest) -> str:
    """The whole answer to the newest question: in Spanish if the request says so, else in English."""
    spanish = request.language == "es"
    questions = tuple(message.text.strip() for message in request.messages if message.role == "user")
    talk = Conversation(request, questions)
    question = questions[-1] if questions else ""
    plain = _plain(question)
    for rule in _SPANISH if spanish else _ENGLISH:
        if rule.pattern.search(plain):
            return rule.answer(talk)
    if (name := told_name(question)) is not None:
        return f"Encantado, {name}." if spanish else f"Nice to meet you, {name}."
    if spanish:
        return f"He oído: {talk.heard} {_NO_MODEL_ES}"
    return f"I heard: {talk.heard} {_NO_MODEL_EN}"


def told_name(text: str) -> str | None:
    """The name that `text` tells, if it tells one: `Me llamo Ana.` -> `Ana`. A question tells none."""
    if text.rstrip().endswith("?"):
        return None
    for pattern in _TOLD_NAME:
        if (match := pattern.search(text)) is not None:
            name = match["name"]
            return name[0].upper() + name[1:]
    return None


def _plain(text: str) -> str:
    """In lower case, without accents and opening marks."""
    letters = unicodedata.normalize("NFD", text.lower().replace("’", "'"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).lstrip("¿¡ ")


def _shortened(text: str) -> str:
    """`text` as one sentence, cut at a word if it is long."""
    words = " ".join(text.split())
    if len(words) > _LONGEST_QUOTE:
        words = words[: _LONGEST_QUOTE + 1].rpartition(" ")[0] + "…"
    return words if words.endswith((".", "?", "!", "…")) else f"{words}."
