"""The examples of docs/home-assistant.md, as they are printed there."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "home-assistant.md"


def automations() -> str:
    """Every automation of the page, as the text of an automations.yaml."""
    blocks = re.findall(r"^```yaml\n(- .*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return "".join(blocks)


def card_entities() -> list[str]:
    """The entities on the page's card."""
    (card,) = re.findall(r"```yaml\n\s+type: entities\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return re.findall(r"- (\w+\.\w+)", card)
