"""How this process was called, so that commands it tells a person to type work where that person is."""

import re
import shlex
import shutil
import sys
from pathlib import Path

COMMAND = "voice-gateway"
_CALL = re.compile(rf"(?<![\w/.-]){COMMAND} (?=[a-z])")


def as_called(text: str) -> str:
    """`text` with each command in it (`voice-gateway run`) as it is to be typed here (`.venv/bin/voice-gateway run`);
    nothing changes where the shell finds the program by its name alone."""
    return _CALL.sub(lambda _: f"{_program()} ", text)


def _program() -> str:
    called = Path(sys.argv[0])
    found = shutil.which(COMMAND)
    if called.name != COMMAND or not called.is_file() or (found is not None and called.samefile(found)):
        return COMMAND
    return shlex.quote(sys.argv[0])
