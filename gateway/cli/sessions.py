"""`voice-gateway sessions`: the conversations of the devices, and what happened in them."""

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.asking import Yes, confirmed
from gateway.cli.options import AsJson, examples
from gateway.cli.output import print_json, session_data, turn_data
from gateway.cli.storage import open_store, takes_database, takes_database_and_broker
from gateway.cli.tables import table
from gateway.errors import ConfigurationError, GatewayError
from gateway.settings_sources import Loaded
from gateway.values import DeviceId, TurnRecord, parse_device_id

if TYPE_CHECKING:
    from gateway.store import SessionSummary

EVERY_TURN = 1_000_000
"""A turn every ten seconds for four months."""

Session = Annotated[str, typer.Argument(metavar="SESSION", help="The device's id; a MAC in any spelling.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Show, export and erase the devices' conversations.", no_args_is_help=True)
    group.command(
        "list", epilog=examples("voice-gateway sessions list", "voice-gateway sessions list --limit 5 --json")
    )(list_sessions)
    group.command(
        epilog=examples("voice-gateway sessions show A4:CF:12:8B:3F:9E", "voice-gateway sessions show kitchen --json")
    )(show)
    group.command(epilog=examples("voice-gateway sessions export a4cf128b3f9e > kitchen.json"))(export)
    group.command(
        epilog=examples(
            "voice-gateway sessions forget a4cf128b3f9e", "voice-gateway sessions forget kitchen --yes --json"
        )
    )(forget)
    app.add_typer(group, name="sessions")


@takes_database
def list_sessions(
    loaded: Loaded,
    limit: Annotated[int, typer.Option(min=1, help="How many, the most recently active first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the conversations, the most recently active first."""

    async def work() -> "tuple[list[SessionSummary], str]":
        async with open_store(loaded.settings) as store:
            return await store.sessions(limit), store.description

    found, place = asyncio.run(work())
    if as_json:
        print_json([session_data(session) for session in found])
    elif not found:
        typer.echo(f"No conversations in {place}.")
    else:
        rows = [
            (one.session_id, _name(one), str(one.message_count), _local(one.updated_at), _local(one.created_at))
            for one in found
        ]
        typer.echo(table(("session", "name", "messages", "last active", "since"), rows))


@takes_database
def show(
    loaded: Loaded,
    session: Session,
    turns: Annotated[int, typer.Option(min=1, help="How many turns, the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what happened in a conversation, turn by turn."""

    async def work() -> "tuple[SessionSummary, list[TurnRecord]]":
        session_id = _parse(session)
        async with open_store(loaded.settings) as store:
            found = await store.session(session_id)
            if found is None:
                raise _unknown(session_id, store.description)
            return found, await store.turns(session_id, turns)

    found, records = asyncio.run(work())
    if as_json:
        print_json({"session": session_data(found), "turns": [turn_data(record) for record in records]})
        return
    typer.echo(f"{found.session_id}  {_name(found)}".rstrip())
    typer.echo(f"since {_local(found.created_at)}, {found.message_count} messages, its topics say {found.spelling}")
    for record in records:
        typer.echo("\n" + "\n".join(_turn_lines(record)))


@takes_database
def export(loaded: Loaded, session: Session) -> None:
    """Print everything that is kept of a conversation, as JSON."""

    async def work() -> dict[str, object]:
        session_id = _parse(session)
        async with open_store(loaded.settings) as store:
            found = await store.session(session_id)
            if found is None:
                raise _unknown(session_id, store.description)
            return {
                "session": session_data(found),
                "messages": [
                    {"role": message.role, "text": message.text, "created_at": message.created_at}
                    async for message in store.messages(session_id)
                ],
                "turns": [turn_data(record) for record in await store.turns(session_id, EVERY_TURN)],
            }

    print_json(asyncio.run(work()))


@takes_database_and_broker
def forget(loaded: Loaded, session: Session, yes: Yes = False, as_json: AsJson = False) -> None:
    """Erase a conversation: messages, turns, cached answers, and the last state that the broker keeps."""
    from gateway.cli.broker import clear_state  # slow to import, and nothing else here needs it

    async def find() -> "SessionSummary":
        session_id = _parse(session)
        async with open_store(loaded.settings) as store:
            found = await store.session(session_id)
            if found is None:
                raise _unknown(session_id, store.description)
            return found

    async def erase(found: "SessionSummary") -> str | None:
        async with open_store(loaded.settings) as store:
            await store.forget(found.session_id)
        return await clear_state(loaded.settings, found.spelling)

    found = asyncio.run(find())
    if not confirmed(f"Erase {found.message_count} messages of {found.session_id} for good?", yes=yes):
        raise typer.Exit(1)
    left = asyncio.run(erase(found))
    if as_json:
        print_json({"forgotten": session_data(found), "retained_left": left})
        return
    typer.echo(f"Erased the conversation of {found.session_id}: {found.message_count} messages.")
    if left:
        typer.echo(f"Its last state stays on the broker: {left}", err=True)


def _parse(session: str) -> DeviceId:
    try:
        return parse_device_id(session)
    except ValueError as error:
        raise ConfigurationError(f"{session!r} is no session: {error}") from None


def _unknown(session_id: DeviceId, place: str) -> GatewayError:
    return GatewayError(f"there is no conversation of {session_id} in {place}; see `voice-gateway sessions list`")


def _name(session: "SessionSummary") -> str:
    return str(session.device_info.get("name") or "")


def _local(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def _turn_lines(record: TurnRecord) -> list[str]:
    """The story of a turn, a line each for what there is to say."""
    head = [_local(record.started_at), f"turn {record.turn}", record.kind, record.outcome]
    if record.cached:
        head.append("from the cache")
    if record.error:
        head.append(f"error {record.error}")
    timings = turn_data(record)["timings_ms"]
    steps = [f"{name.replace('_', ' ')} {value}" for name, value in timings.items() if value is not None]
    lost = [f"{count} {name}" for name, count in turn_data(record)["audio"].items() if count]
    details = {
        "heard": record.heard,
        "said": record.said,
        "ms": ", ".join(steps),
        "sent": f"{record.bytes} bytes in {record.chunks} messages" if record.chunks else "",
        "link": ", ".join(lost),
    }
    return ["  ".join(head), *(f"    {name:<6} {value}" for name, value in details.items() if value)]
