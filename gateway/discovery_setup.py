"""What Home Assistant is told of at the start: the devices of earlier runs, and what may be chosen for each."""

from collections.abc import Callable

from gateway.broker.protocol import Broker
from gateway.config import Settings
from gateway.engines.clips import CLIP_TEXTS
from gateway.events import Event
from gateway.personalities import Personalities, Target
from gateway.reports.discovery import BOARDS_MAX, Choices, DiscoveryPublisher
from gateway.reports.home_assistant import Discovery
from gateway.store import Store
from gateway.values import DeviceAddress, DeviceId


async def make_discovery(
    settings: Settings, store: Store, broker: Broker, entities: Discovery, emit: Callable[[Event], None]
) -> DiscoveryPublisher:
    """Return what keeps Home Assistant told; the caller has it listen to events, and starts and stops it.

    Raises:
        StoreError: the devices of earlier runs cannot be read.
    """
    personalities = Personalities(settings, store)

    async def chosen(device: DeviceId) -> tuple[str, str]:
        return (await personalities.show(Target(device))).assistant

    async def known(device: DeviceId) -> bool:
        return await store.session(device) is not None

    said = (*settings.personas.values(), *settings.groups.values(), *settings.devices.values())
    languages = {*CLIP_TEXTS, settings.language, *(one.language for one in said if one.language)}
    choices = Choices(sorted(languages), tuple(settings.personas), chosen, known)
    earlier = [
        (DeviceAddress(one.session_id, one.spelling), one.device_info) for one in await store.sessions(BOARDS_MAX)
    ]
    return DiscoveryPublisher(broker, entities, choices, emit, earlier)
