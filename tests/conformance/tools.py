"""What every toolbox must do."""

import json
import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.engines.tools.protocol import Toolbox, ToolContext
from gateway.errors import ToolFailed

CONTEXT = ToolContext("a4cf128b3f9e", "Kitchen", "es", datetime(2026, 11, 22, 17, 5, tzinfo=ZoneInfo("Europe/Madrid")))


class ToolboxConformance:
    """Inherit, and give a fixture `toolbox`, started, to be closed at the end."""

    async def test_its_functions_are_what_chat_models_take(self, toolbox: Toolbox) -> None:
        specs = toolbox.specs
        assert specs
        assert len({spec.name for spec in specs}) == len(specs)
        for spec in specs:
            assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", spec.name)
            assert spec.description
            assert spec.parameters["type"] == "object"
            json.dumps(dict(spec.parameters))

    async def test_wrong_arguments_are_told_and_nothing_else_breaks(self, toolbox: Toolbox) -> None:
        for spec in toolbox.specs:
            wrong = {name: {"not": ["this"]} for name in spec.parameters.get("properties", {})}
            if wrong:
                with pytest.raises(ToolFailed):
                    await toolbox.call(spec.name, wrong, CONTEXT)

    async def test_it_says_that_it_works(self, toolbox: Toolbox) -> None:
        assert await toolbox.check()

    async def test_it_describes_itself(self, toolbox: Toolbox) -> None:
        assert toolbox.name in toolbox.description
