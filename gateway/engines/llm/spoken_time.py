"""Time and date in words, in Spanish and English.

Voices read `17:05` each in its own way ("diecisiete dos puntos cero cinco"), so times are spelled out; days and years
as digits are read right by all.
"""

# ruff: noqa: SIM905 - word lists are easier to read as words

from datetime import datetime

_ES_ONES = "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince".split()
_ES_TEENS = "dieciséis diecisiete dieciocho diecinueve".split()
_ES_TWENTIES = (
    "veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete veintiocho veintinueve"
).split()
_ES_TENS = {30: "treinta", 40: "cuarenta", 50: "cincuenta"}
_ES_DAYS = "lunes martes miércoles jueves viernes sábado domingo".split()
_ES_MONTHS = "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split()

_EN_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
).split()
_EN_TENS = {20: "twenty", 30: "thirty", 40: "forty", 50: "fifty"}
_EN_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_EN_MONTHS = "January February March April May June July August September October November December".split()


def spanish_time(now: datetime) -> str:
    """`Son las cinco y cinco de la tarde.`"""
    hour = now.hour % 12 or 12
    hours = "Es la una" if hour == 1 else f"Son las {_spanish_number(hour)}"
    minutes = {0: " en punto", 15: " y cuarto", 30: " y media"}.get(now.minute, f" y {_spanish_number(now.minute)}")
    return f"{hours}{minutes} {_spanish_part_of_day(now.hour)}."


def english_time(now: datetime) -> str:
    """`It is five minutes past five in the afternoon.`"""
    hour = _english_number(now.hour % 12 or 12)
    minutes = {
        0: f"{hour} o'clock",
        1: f"one minute past {hour}",
        15: f"a quarter past {hour}",
        30: f"half past {hour}",
    }.get(now.minute, f"{_english_number(now.minute)} minutes past {hour}")
    return f"It is {minutes} {_english_part_of_day(now.hour)}."


def spanish_date(now: datetime) -> str:
    """`Hoy es domingo 22 de noviembre de 2026.`"""
    return f"Hoy es {_ES_DAYS[now.weekday()]} {now.day} de {_ES_MONTHS[now.month - 1]} de {now.year}."


def english_date(now: datetime) -> str:
    """`Today is Sunday, November 22, 2026.`"""
    return f"Today is {_EN_DAYS[now.weekday()]}, {_EN_MONTHS[now.month - 1]} {now.day}, {now.year}."


def _spanish_number(number: int) -> str:
    """0 to 59."""
    if number < 30:
        return (*_ES_ONES, *_ES_TEENS, *_ES_TWENTIES)[number]
    tens, ones = _ES_TENS[number // 10 * 10], number % 10
    return f"{tens} y {_ES_ONES[ones]}" if ones else tens


def _english_number(number: int) -> str:
    """0 to 59."""
    if number < 20:
        return _EN_ONES[number]
    tens, ones = _EN_TENS[number // 10 * 10], number % 10
    return f"{tens}-{_EN_ONES[ones]}" if ones else tens


def _spanish_part_of_day(hour: int) -> str:
    if hour < 6:
        return "de la madrugada"
    if hour < 12:
        return "de la mañana"
    return "de la tarde" if hour < 21 else "de la noche"


def _english_part_of_day(hour: int) -> str:
    if 1 <= hour < 12:
        return "in the morning"
    if 12 <= hour < 18:
        return "in the afternoon"
    return "in the evening" if 18 <= hour < 21 else "at night"
