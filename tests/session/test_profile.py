"""What is known of a device while it runs."""

from gateway.config import Settings
from gateway.personality import Kept, Personality
from gateway.session.admission import Admitted
from gateway.session.profile import Profile
from gateway.store import OpenConversation
from gateway.values import DeviceId
from gateway.wire.messages import parse_hello
from gateway.wire.topics import Topics


def test_who_answers_stays_while_the_database_does_not_answer() -> None:
    profile = Profile(DeviceId("kitchen"), "kitchen", Settings(), Topics())
    kept = Kept(Personality(name="Ana"))
    for admitted in (Admitted(OpenConversation(7, kept=kept)), Admitted()):
        assert profile.personality(admitted) == Personality(name="Ana")
    assert profile.personality(Admitted(OpenConversation(7))) == Personality()


def test_what_a_device_says_of_itself_holds_where_no_operator_says_otherwise() -> None:
    profile = Profile(DeviceId("kitchen"), "kitchen", Settings(), Topics())
    profile.said_hello(parse_hello({"v": 1, "name": "Cocina", "language": "fr"}))
    admitted = Admitted(OpenConversation(7, kept=Kept(Personality(name="Ana"))))
    assert profile.personality(admitted) == Personality(name="Ana", language="fr")
