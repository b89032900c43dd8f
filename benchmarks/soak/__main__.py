"""`python -m benchmarks.soak`: run it, print a table, and end with 0 only if nothing was wrong."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.soak.board import WatchedBoard, Wedged
from benchmarks.soak.drops import GATEWAY_STATUS, Drop, Drops
from benchmarks.soak.sounds import LANGUAGE
from benchmarks.soak.turns import WHOLE, Conversation, Turn
from tests.e2e.board import Board, build_board
from tests.e2e.onlooker import Onlooker
from tests.e2e.process import GatewayProcess
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.openai_server import OpenAIServer

PRESSES_A_TURN = 3
"""Most questions for each answer that is wanted whole: with more the link is not usable."""
GROWTH_MAX_KIB = 32
"""What the idle board may have allocated more at the end than a quarter in. That of a leak grows with the turns.

Resident memory tells less: the sanitizer keeps back what was freed."""
SANITIZER_OPTIONS = "quarantine_size_mb=1"
"""It keeps back up to 256 MB else, and all memory would seem to grow."""
EXAMPLES = """examples:
  make firmware-soak                                            100 questions, a drop every 30 s: 9 minutes
  make firmware-soak TURNS=10 DROP_EVERY=8                      a minute
  make firmware-soak PUBSUBCLIENT=<checkout> MICRO_MP3=<checkout>   with the libraries that boards get
  make firmware-soak ARGS=--json
"""

Tell = Callable[[str], None]
Result = dict[str, Any]


async def soak(program: Path, turns: int, drop_every_s: float, seed: int, folder: Path, tell: Tell) -> Result:
    """Run the board `program` and ask it until `turns` questions were answered whole; return what was seen.

    The list `defects` of that must be empty. Stops early at the first wedge.
    """
    began = time.monotonic()
    asked: list[Turn] = []
    happened: list[Drop] = []
    resident: list[int] = []
    allocated: list[int] = []
    defects: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        broker = await stack.enter_async_context(Mosquitto())
        provider = await stack.enter_async_context(OpenAIServer())
        gateway = await stack.enter_async_context(_gateway(folder, broker, provider))
        board = await stack.enter_async_context(_board(program, folder, broker, defects))
        onlooker = await stack.enter_async_context(Onlooker(broker.url, GATEWAY_STATUS, "voice/+/event"))
        drops = Drops(board, broker, onlooker, seed)
        happened = drops.happened
        conversation = Conversation(board, folder, happened, seed)
        conversation.serve(provider)
        asked = conversation.turns
        await gateway.ready()
        try:
            async with asyncio.TaskGroup() as group:
                endless = [
                    group.create_task(board.watch()),
                    group.create_task(drops.run(drop_every_s, tell)),
                ]
                while (whole := sum(turn.outcome == WHOLE for turn in asked)) < turns:
                    if len(asked) >= PRESSES_A_TURN * turns:
                        defects.append(f"only {whole} of {len(asked)} questions were answered whole")
                        break
                    logged = len(gateway.log)
                    turn = await conversation.ask()
                    resident.append(board.resident_bytes() // 1024)
                    allocated.append(board.counters["heap_bytes"] // 1024)
                    if turn.outcome != WHOLE or turn.defects:
                        tell(f"question {turn.number}: {turn.outcome}" + "".join(f"; DEFECT {d}" for d in turn.defects))
                        if turn.defects:
                            tell(
                                "\n".join(
                                    ["the gateway and the board meanwhile:", gateway.log[logged:], *board.last_lines]
                                )
                            )
                    elif turn.number % 10 == 0:
                        tell(f"question {turn.number}: {whole + 1} answered whole; {allocated[-1]} KiB allocated")
                for task in endless:
                    task.cancel()
        except* Wedged as wedges:
            for wedge in wedges.exceptions:
                defects.append(f"wedge: {wedge}; lately: {' | '.join(board.last_lines)}")
        gateway.send(signal.SIGTERM)
        code = await gateway.ended()
        if code != 0:
            defects.append(f"the gateway ended with code {code}")
    defects += [f"question {turn.number}: {defect}" for turn in asked for defect in turn.defects]
    defects += [f"gateway: {error}" for error in _errors(gateway.log)]
    growth = _at(allocated, 1) - _at(allocated, 0.25)
    if growth > GROWTH_MAX_KIB:
        defects.append(f"the board's allocated memory grew by {growth} KiB")
    undisturbed = [turn for turn in asked if not turn.disturbed]
    return {
        "turns": turns,
        "drop_every_s": drop_every_s,
        "seed": seed,
        "pubsubclient": "real" if os.environ.get("PUBSUBCLIENT") else "stand-in",
        "micro_mp3": "real" if os.environ.get("MICRO_MP3") else "stand-in",
        "seconds": round(time.monotonic() - began),
        "asked": len(asked),
        "whole": sum(turn.outcome == WHOLE for turn in asked),
        "whole_despite_a_drop": sum(turn.outcome == WHOLE and turn.disturbed for turn in asked),
        "given_up": dict(Counter(turn.outcome for turn in asked if turn.outcome not in ("", WHOLE))),
        "drops": [
            {
                "kind": drop.kind,
                "during": drop.during,
                "seconds": round(drop.seconds, 1),
                "back_s": round(drop.back_s, 1),
                "noticed": drop.noticed,
            }
            for drop in happened
            if drop.ended is not None
        ],
        "connections_lost": board.losses,
        "reconnects": board.connects - 1,
        "underruns": {
            "with_a_drop": sum(turn.underruns for turn in asked if turn.disturbed),
            "without": sum(turn.underruns for turn in undisturbed),
        },
        "idle_after_s": round(max((turn.idle_after_s for turn in asked if turn.idle), default=0), 1),
        "allocated_kib": {"a_quarter_in": _at(allocated, 0.25), "at_the_end": _at(allocated, 1)},
        "resident_kib": {"a_quarter_in": _at(resident, 0.25), "at_the_end": _at(resident, 1)},
        "firmware": {name: board.counters[name] for name in sorted(board.counters)},
        "defects": defects,
    }


def _gateway(folder: Path, broker: Mosquitto, provider: OpenAIServer) -> GatewayProcess:
    engines = ("--stt", "openai", "--llm", "openai", "--tts", "openai", "--language", LANGUAGE)
    places = ("--mqtt-url", broker.url, "--data-dir", str(folder / "data"))
    environ = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": provider.base_url}
    return GatewayProcess(folder, *engines, *places, "--log-format", "json", environ=environ)


@contextlib.asynccontextmanager
async def _board(program: Path, folder: Path, broker: Mosquitto, defects: list[str]) -> Any:
    """A board that is set up; what the sanitizers say at its end goes into `defects`."""
    file = folder / "out.wav"
    try:
        async with Board(program, "--nvs", str(folder / "nvs"), "--wav-out", str(file)) as board:
            values = {"wifi_ssid": "home", "mqtt_host": "127.0.0.1", "mqtt_port": str(broker.port)}
            for name, value in values.items():
                board.type(f"set {name} {value}")
            board.type("save")
            await board.line("^!restart")
            yield WatchedBoard(board, file)
    except AssertionError as error:
        defects.append(f"the board's end: {error}")


def _errors(log: str) -> list[str]:
    """Lines of the gateway's log that an operator would have to do something about."""
    lines = [
        json.loads(line) if line.startswith("{") else {"level": "error", "event": line} for line in log.splitlines()
    ]
    return [json.dumps(line) for line in lines if line["level"] in ("error", "critical") or "exception" in line]


def _at(figures: list[int], part: float) -> int:
    """The median of a tenth of all figures, which ends at `part` of them."""
    end = max(1, round(len(figures) * part))
    return round(statistics.median(figures[max(0, end - max(1, len(figures) // 10)) : end] or [0]))


def table(result: Result) -> str:
    """What a person reads."""
    drops = Counter(drop["kind"] for drop in result["drops"])
    during = Counter(drop["during"] for drop in result["drops"])
    allocated, resident, underruns = result["allocated_kib"], result["resident_kib"], result["underruns"]
    rows = [
        ("libraries", f"PubSubClient {result['pubsubclient']}, micro-mp3 {result['micro_mp3']}"),
        ("questions", f"{result['asked']} in {result['seconds']} s, a drop every {result['drop_every_s']:g} s"),
        ("answered whole", f"{result['whole']}, {result['whole_despite_a_drop']} of them despite a drop"),
        *((f"  {outcome}", str(count)) for outcome, count in sorted(result["given_up"].items())),
        ("drops", ", ".join(f"{count} {kind}" for kind, count in drops.items()) or "none"),
        ("  while", ", ".join(f"{count} {state}" for state, count in during.items()) or "none"),
        ("  longest way back", f"{max((drop['back_s'] for drop in result['drops']), default=0):.1f} s"),
        ("connection", f"lost {result['connections_lost']} times, {result['reconnects']} reconnects"),
        ("idle again", f"at most {result['idle_after_s']:.1f} s after the end of question and answer"),
        ("underruns", f"{underruns['with_a_drop']} with a drop, {underruns['without']} without"),
        ("memory allocated", f"{allocated['a_quarter_in']} KiB a quarter in, {allocated['at_the_end']} KiB at the end"),
        ("  resident", f"{resident['a_quarter_in']} KiB a quarter in, {resident['at_the_end']} KiB at the end"),
        ("defects", str(len(result["defects"]))),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    return "\n".join([*lines, *(f"  DEFECT {defect}" for defect in result["defects"])])


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description="The firmware, as a virtual board with sanitizers, asks the real gateway over a real Mosquitto,"
        " while its link drops. Each answer must be heard whole, or be cut off with a tone while the link was away."
        " PUBSUBCLIENT and MICRO_MP3 in the environment name checkouts of the real libraries.",
        epilog=EXAMPLES + "exit codes: 0 no defect, 1 defects, 2 it could not run, 130 Ctrl-C",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--turns", type=int, default=100, help="answers to be heard whole (default: 100)")
    parser.add_argument(
        "--drop-every", type=float, default=30.0, metavar="S", help="seconds from drop to drop (default: 30)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the lengths of drops, pauses and answers (default: 1)")
    parser.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    args = parser.parse_args()
    if args.turns < 1 or args.drop_every <= 0:
        parser.error("--turns must be at least 1, and --drop-every more than 0")
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {text}", file=sys.stderr, flush=True)

    os.environ["ASAN_OPTIONS"] = SANITIZER_OPTIONS
    try:
        program = build_board()
    except (pytest.skip.Exception, pytest.fail.Exception, AssertionError) as error:
        print(f"the virtual board was not built: {error}", file=sys.stderr)
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="soak-") as name:
            result = asyncio.run(soak(program, args.turns, args.drop_every, args.seed, Path(name), tell))
    except KeyboardInterrupt:
        return 130
    except (pytest.skip.Exception, pytest.fail.Exception) as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(result, indent=2) if args.json else table(result))
    return 1 if result["defects"] else 0


if __name__ == "__main__":
    sys.exit(main())
