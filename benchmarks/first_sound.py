"""From the end of a question to the first sound of its answer, with engines that take as long as real ones do."""

from dataclasses import dataclass
from typing import Any

from benchmarks import realistic, silence
from benchmarks.figures import spread
from benchmarks.latency import GATEWAY, Asker
from benchmarks.measurement import Bar, Chart, Goal, Place, Result
from benchmarks.processes import part
from benchmarks.tables import between, table
from gateway.values import END_OF_SPEECH_MS

SEQUENTIAL = "sequential"
ABOVE_FLOOR = 1.05
ABOVE_FLOOR_MS = 30.0
SOONER = 3.0
SOONER_SENTENCES = 3


@dataclass(frozen=True, slots=True)
class FirstSoundSizes:
    """Answers of each of `sentences` sentences, each asked for `rounds` times on each side; and where silence ends the
    question, with each of the `ways` to speculate."""

    sentences: tuple[int, ...]
    rounds: int
    ways: tuple[str, ...] = silence.WAYS


FULL = FirstSoundSizes(sentences=(1, 3), rounds=4)
QUICK = FirstSoundSizes(sentences=(3,), rounds=2)


@dataclass(frozen=True)
class FirstSound:
    full: FirstSoundSizes = FULL
    quick: FirstSoundSizes = QUICK
    name: str = "first_sound"
    title: str = "From END to the first sound, engines that take as long as real ones"

    async def measure(self, place: Place) -> Result:
        sizes = self.quick if place.quick else self.full
        return {
            "answers": [await _measure(place, sentences, sizes.rounds) for sentences in sizes.sentences],
            "silence": await silence.measure(place, sizes.ways, sizes.rounds),
        }

    def section(self, result: Result) -> str:
        rows = []
        for each in result["answers"]:
            of = f"{each['sentences']}, {each['characters']} characters, {each['spoken_s']:.1f} s"
            rows += [(of, side, between(each[side], 0)) for side in ("gateway", "sequential")]
            rows.append((of, "floor", f"{each['floor']['ms']:.0f}"))
        ways = [(way, between(ms, 0)) for way, ms in result["silence"]["ways"].items()]
        return "\n\n".join(
            [
                _METHOD,
                *(_floor_told(each) for each in result["answers"]),
                table(_HEADS, rows),
                "### When silence ends the question",
                _SILENCE_METHOD,
                table(("speculation", "first sound, ms"), ways),
            ]
        )

    def charts(self, result: Result) -> list[Chart]:
        ways = result["silence"]["ways"].items()
        by_silence = tuple(Bar(f"speculation {way}", ms["median"], ms["min"], ms["max"]) for way, ms in ways)
        return [
            Chart(
                f"END to the first sound, an answer of {each['sentences']} sentence{'s' * (each['sentences'] > 1)}",
                "ms",
                (
                    *(
                        Bar(side, figures["median"], figures["min"], figures["max"])
                        for side in ("gateway", "sequential")
                        for figures in [each[side]]
                    ),
                    Bar("floor", each["floor"]["ms"]),
                ),
            )
            for each in result["answers"]
        ] + [Chart("End of speech by silence to the first sound", "ms", by_silence)]

    def goals(self, result: Result) -> list[Goal]:
        goals = []
        for each in result["answers"]:
            sentences, floor = each["sentences"], each["floor"]["ms"]
            first, sequential = (each[side]["median"] for side in ("gateway", "sequential"))
            limit = floor * ABOVE_FLOOR + ABOVE_FLOOR_MS
            text = f"{sentences} sentences: within 5 % of the floor plus 30 ms ({limit:.0f} ms): {first:.0f}"
            goals.append(Goal(text, first <= limit))
            if sentences == SOONER_SENTENCES:
                sooner = sequential / first
                text = f"{sentences} sentences: {SOONER:g} times sooner than the sequential way: {sooner:.2f}"
                goals.append(Goal(text, sooner >= SOONER))
        return goals


BENCHMARK = FirstSound()

_HEADS = ("sentences of the answer", "", "first sound, ms")
_METHOD = (
    f"Every engine takes a fixed time: recognition {realistic.RECOGNITION_S * 1000:.0f} ms; the first token of the"
    f" answer {realistic.FIRST_TOKEN_S * 1000:.0f} ms, then {realistic.TOKENS_A_SECOND} tokens of"
    f" {realistic.TOKEN_CHARACTERS} characters a second; synthesis {realistic.SYNTHESIS_S * 1000:.0f} ms and"
    f" {realistic.SYNTHESIS_SHARE:g} of the time that the piece sounds ({realistic.CHARACTERS_A_SECOND} characters a"
    " second), and then gives it whole. Nothing is kept from one question to the next. *sequential* begins each step"
    " when the one before is through, and answers in one message. *floor* is computed: recognition, the tokens up to"
    " the first clause mark after 12 characters, and the synthesis of that piece; it has no broker, no encoder and no"
    " other work in it. The time runs at a device, from publishing the frame with END to the first frame of audio."
)
_SILENCE_METHOD = (
    "A device streams bare samples in real time, speech and then silence, and the gateway finds the end: after"
    f" {END_OF_SPEECH_MS['normal']} ms of silence, the default. The same engines; the time runs from the last sample of"
    " speech to the first message of the answer. *off* begins when the end is certain; *recognise*, which the"
    " default is for a recogniser on this machine, recognises in the pause; *answer* also has the answer written in it."
)


async def _measure(place: Place, sentences: int, rounds: int) -> dict[str, Any]:
    """Milliseconds from END to the first frame of the answer, of each side in turns."""
    text = realistic.answer(sentences)
    taken: dict[str, list[float]] = {GATEWAY: [], SEQUENTIAL: []}
    folder = place.folder / f"data-{sentences}"
    async with (
        part("gateway", url=place.url, folder=folder, sentences=sentences),
        part("sequential", url=place.url, sentences=sentences),
    ):
        askers = {root: Asker(place.url, root, f"asker-{sentences}") for root in taken}
        for asker in askers.values():
            await asker.start()
            await asker.ask()  # what is loaded when first used is loaded now
        for number in range(rounds):
            place.tell(f"{sentences} sentences, round {number + 1} of {rounds}")
            for root, asker in askers.items():
                first_s, _ = await asker.ask()
                taken[root].append(first_s * 1000)
        for asker in askers.values():
            await asker.stop()
    piece = realistic.first_clause(text)
    return {
        "sentences": sentences,
        "characters": len(text),
        "spoken_s": realistic.spoken_s(text),
        "gateway": spread(taken[GATEWAY]),
        "sequential": spread(taken[SEQUENTIAL]),
        "floor": {
            "ms": realistic.floor_s(text) * 1000,
            "piece": piece,
            "tokens": len(realistic.tokens(piece)),
            "synthesis_ms": realistic.synthesis_s(piece) * 1000,
        },
        "rounds": {"gateway": taken[GATEWAY], "sequential": taken[SEQUENTIAL]},
    }


def _floor_told(each: dict[str, Any]) -> str:
    floor = each["floor"]
    writing_ms = 1000 * (floor["tokens"] - 1) / realistic.TOKENS_A_SECOND
    return (
        f"Floor of {each['sentences']}: {realistic.RECOGNITION_S * 1000:.0f} + {realistic.FIRST_TOKEN_S * 1000:.0f} +"
        f' {writing_ms:.0f} ms for the {floor["tokens"]} tokens of "{floor["piece"]}" +'
        f" {floor['synthesis_ms']:.0f} = {floor['ms']:.0f} ms."
    )
