"""The phrases that the miniature model knows, and the voices that say them."""

from typing import NamedTuple


class Phrase(NamedTuple):
    """One sentence, exactly as the model writes it."""

    text: str
    language: str


_SPANISH = (
    "¿Qué hora es?",
    "¿Qué día es hoy?",
    "¿Qué tiempo hace hoy?",
    "Me llamo Ana.",
    "Me llamo Luis.",
    "¿Cómo me llamo?",
    "¿Qué te pregunté antes?",
    "Enciende la luz de la cocina.",
    "Apaga la luz de la cocina.",
    "Cuéntame un chiste.",
    "¿Qué puedo cocinar con tomate y arroz?",
    "Pon una alarma en cinco minutos.",
    "Hola, ¿cómo estás?",
    "Gracias, adiós.",
    "¿Quién eres?",
    "¿Cuál es la capital de Francia?",
    "Repite lo que te dije.",
    "Sube el volumen.",
    "Baja el volumen.",
    "¿Qué puedes hacer?",
    "¿Cuántos planetas hay?",
    "Busca una receta de sopa de verduras.",
    "Cierra las persianas del salón.",
    "¿A qué hora sale el sol?",
    "Para la música.",
    "Cuéntame la historia de la ciudad.",
    "Buenos días.",
)

_ENGLISH = (
    "What time is it?",
    "What day is today?",
    "What is the weather today?",
    "What did I ask before?",
    "My name is Anna.",
    "My name is Peter.",
    "What is my name?",
    "Turn on the kitchen light.",
    "Turn off the kitchen light.",
    "Tell me a joke.",
    "What is the capital of France?",
    "Hello, how are you?",
    "Who are you?",
    "Thank you, goodbye.",
    "What can I cook with tomatoes and rice?",
    "Set a timer for five minutes.",
    "Tell me the history of the city.",
    "How many planets are there?",
    "Stop the music.",
    "Good morning.",
)

PHRASES: tuple[Phrase, ...] = tuple(
    [Phrase(text, "es") for text in _SPANISH] + [Phrase(text, "en") for text in _ENGLISH]
)

CONFUSABLE: frozenset[str] = frozenset(
    {
        "Turn on the kitchen light.",
        "Turn off the kitchen light.",
        "¿Qué día es hoy?",
        "¿Qué tiempo hace hoy?",
        "My name is Peter.",
        "How many planets are there?",
    }
)
"""Phrases that sound much like another one: training hears them more often."""

ACCENTS: dict[str, tuple[str, ...]] = {
    "es": ("es", "es-419"),
    "en": ("en-us", "en-gb", "en-gb-x-rp"),
}
"""The espeak-ng voices of each language; a variant such as "+m3" changes the speaker."""

TRAINING_VARIANTS: tuple[str, ...] = (
    *("m1", "m2", "m3", "m4", "m5", "m6", "f1", "f2", "f3"),
    *("klatt", "klatt2", "klatt3", "klatt4", "klatt5", "klatt6"),
    *("adam", "Alex", "Alicia", "Andrea", "Andy", "Annie", "AnxiousAndy", "antonio", "aunty", "benjamin"),
    *("boris", "caleb", "david", "Denis", "Diogo", "ed", "grandma", "grandpa", "gustave", "Henrique", "Hugo"),
    *("ian", "Jacky", "john", "Lee", "linda", "marcelo", "Mario", "max", "Michael", "michel", "miguel"),
    *("Mike", "mike2", "Mr serious", "Nguyen", "norbert", "pablo", "paul", "quincy"),
    *("RicishayMax", "RicishayMax2", "RicishayMax3", "rob", "robert"),
    *("robosoft", "robosoft2", "robosoft3", "robosoft5", "robosoft7", "shelby", "Storm", "travis", "Tweaky"),
    *("zac",),
)

HELD_OUT_VARIANTS: tuple[str, ...] = (
    *("m7", "m8", "f4", "f5", "Gene2", "Marco", "sandro"),
    *("victor", "anika", "belinda", "edward", "steph2", "pedro", "iven2"),
)
"""Never used in training, and neither are their siblings (Gene, edward2, anikaRobot, steph, steph3, iven...)."""
