"""One device: what it sends, in order; the turn that runs for it; and what becomes of its turns."""

from gateway.session.announcing import new_announcement_id
from gateway.session.direct import DirectQuestion
from gateway.session.session import Session, SessionServices
from gateway.session.telling import FAULT_WINDOW_S, FAULTS_TOLD

__all__ = ["FAULTS_TOLD", "FAULT_WINDOW_S", "DirectQuestion", "Session", "SessionServices", "new_announcement_id"]
