"""Speaking on one device what others want it to say: when each announcement may begin, and what became of it.

Nobody is cut off unless it is urgent: an announcement waits while somebody speaks, while a turn runs and while its
reply plays. What is urgent ends all three, unless it would end another that is urgent.
"""

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress

from gateway.errors import StoreError
from gateway.events import AnnouncementChanged
from gateway.personality import UNSAID
from gateway.pipeline.assemble import Assembler
from gateway.pipeline.turn_request import TurnServices
from gateway.session.admission import Admission, Admitted
from gateway.session.announcements import WAITING_MAX, Announcements
from gateway.session.floor import Floor
from gateway.session.profile import Profile
from gateway.session.utterances import Utterances
from gateway.values import Announcement, AnnouncementStatus

QUIET_LOOKED_UP_S = 60.0
"""How long hours of quiet are believed: they may be changed while something waits for their end."""

OFFLINE = "the device is offline"
BUSY = "the device was busy"


def new_announcement_id() -> str:
    """Make up the id of an announcement that came without one."""
    return secrets.token_hex(6)


class Announcing:
    """The announcements of one device, from when they come until they begin; then the floor has them."""

    def __init__(
        self,
        services: TurnServices,
        profile: Profile,
        assembler: Assembler,
        admission: Admission,
        utterances: Utterances,
        floor: Floor,
        told: Callable[[], Awaitable[None]],
    ) -> None:
        """`told` waits until what has been emitted so far is on its way to the device."""
        self._services = services
        self._profile = profile
        self._assembler = assembler
        self._admission = admission
        self._utterances = utterances
        self._floor = floor
        self._told = told
        self._waiting = Announcements()
        self._quiet_until = 0.0
        """Of the monotonic clock: until then only what is urgent is spoken, unless it is looked up before."""
        self.device_is_offline = False
        """It says so itself. What is published for it now would be lost without a word."""

    def put(self, announcement: Announcement) -> str | None:
        """Take an announcement; return why not if there is no room for it."""
        self._quiet_until = 0.0
        gives_way = self._waiting.put(announcement, self._services.monotonic())
        if gives_way is announcement:
            reason = f"{WAITING_MAX} announcements of its priority or above wait already"
            self._tell(announcement, AnnouncementStatus.REFUSED, reason=reason)
            return reason
        self._tell(announcement, AnnouncementStatus.QUEUED)
        if gives_way is not None:
            self._tell(gives_way, AnnouncementStatus.DISPLACED, reason="one of a higher priority took its place")
        return None

    def drop(self, reason: str) -> None:
        """Let go of all that wait."""
        for announcement in self._waiting.take_all():
            self._tell(announcement, AnnouncementStatus.INTERRUPTED, reason=reason)

    async def step(self, now: float) -> bool:
        """Do what is to be done `now`, of the monotonic clock; False if there is nothing."""
        for announcement in self._waiting.take_expired(now):
            reason = OFFLINE if self.device_is_offline else BUSY
            self._tell(announcement, AnnouncementStatus.EXPIRED, reason=reason)
        first = self._waiting.first
        if first is None or self.device_is_offline:
            return False
        if not first.is_urgent and now < self._quiet_until:
            return False
        if self._way_is_free and self._floor.played_out_at <= now:
            if first.is_urgent or not await self._is_quiet(now):
                await self._begin(self._waiting.take())
            return True
        if not first.is_urgent or (not self._utterances.is_open and self._floor.is_urgent):
            return False
        await self._utterances.cut_off(now)
        await self._floor.stop()
        return True

    @property
    def next_at(self) -> float | None:
        """When there is something to do if nothing comes meanwhile; None: there will not be."""
        first, end = self._waiting.first, self._waiting.next_end
        if first is None or end is None or self.device_is_offline or not self._way_is_free:
            return end
        may_begin_at = (
            self._floor.played_out_at if first.is_urgent else max(self._floor.played_out_at, self._quiet_until)
        )
        return min(may_begin_at, end)

    @property
    def _way_is_free(self) -> bool:
        return self._floor.free and not self._utterances.is_open

    async def _is_quiet(self, now: float) -> bool:
        """Look up whether it is quiet on the device; what is not urgent and may not wait for the end is told so."""
        services, device = self._services, self._profile.address.id
        groups = services.settings.devices.get(device, UNSAID).groups or ()
        with suppress(StoreError):  # what was known last counts
            self._profile.operators_said(await services.store.kept(device, groups))
        local = services.now()
        end = self._profile.personality(Admitted()).quiet_until(local)
        if end is None:
            return False
        left_s = end.timestamp() - local.timestamp()
        for announcement in self._waiting.take_hopeless(now + left_s):
            self._tell(announcement, AnnouncementStatus.EXPIRED, reason=f"it is quiet until {end:%H:%M}")
        self._quiet_until = now + min(left_s, QUIET_LOOKED_UP_S)
        return True

    async def _begin(self, announcement: Announcement) -> None:
        try:
            number = self._assembler.take_gateway_turn()
            admitted = await self._admission.begin().admitted()
            request = self._profile.turn_request(
                admitted,
                number,
                announcement.kind,
                self._profile.form_of_texts,
                language=announcement.language,
                text=announcement.text,
            )
            self._tell(announcement, AnnouncementStatus.STARTED, turn=number)
            # The device takes the volume from it: it must be there before the first audio.
            await self._told()
        except BaseException:
            self._tell(announcement, AnnouncementStatus.INTERRUPTED, reason="it could not be begun")
            raise
        self._floor.start(request, announcement)

    def _tell(
        self, announcement: Announcement, status: AnnouncementStatus, *, turn: int | None = None, reason: str = ""
    ) -> None:
        self._services.emit(AnnouncementChanged(self._profile.address, announcement, status, turn, reason))
