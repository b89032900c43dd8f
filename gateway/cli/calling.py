"""How this process was called, so that commands it tells a person to type work where that person is."""

import re
import shlex
import shutil
import sys
from pathlib import Path

COMMAND = "voice-gateway"
_CALL = re.compile(rf"(?<![\w/.-]){COMMAND} (?=[a-z])")
_INSTALL = re.compile(r"(?<![\w/.-])pip (?=install )")


def as_called(text: str) -> str:
    """`text` with each command in it (`voice-gateway run`) as it is to be typed here (`.venv/bin/voice-gateway run`),
    and so with `pip install`, which is to install beside it; nothing changes where the shell finds the program by its
    name alone."""
    program = _program()
    if program == COMMAND:
        return text
    pip = Path(sys.argv[0]).with_name("pip")
    if pip.exists():
        text = _INSTALL.sub(lambda _: f"{shlex.quote(str(pip))} ", text)
    return _CALL.sub(lambda _: f"{program} ", text)


def _program() -> str:
    called = Path(sys.argv[0])
    found = shutil.which(COMMAND)
    if called.name != COMMAND or not called.is_file() or (found is not None and called.samefile(found)):
        return COMMAND
    return shlex.quote(sys.argv[0])
