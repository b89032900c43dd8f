"""Many software devices at once, each of whose answers is checked: what `voice-gateway simulate` runs.

`simulation.py` starts them once `watched_gateway.py` has found the gateway, `simulated_device.py` is the life of one,
`checks.py` judges each answer, `tally.py` adds up what came of it.
"""

from gateway.simulator.plan import FORMS, Plan
from gateway.simulator.simulation import Simulation

__all__ = ["FORMS", "Plan", "Simulation"]
