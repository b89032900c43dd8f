import pytest

# So that what was heard is told when it is not what was expected: pytest does so by itself only for test files.
pytest.register_assert_rewrite("tests.e2e.firmware.voice_board")
