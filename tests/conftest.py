"""What holds for the whole test run."""

import signal


def pytest_configure() -> None:
    """Hears Ctrl-C as from a terminal: a background job of a shell ignores it, and so would its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Bytes are named by their number: some hold the time of day, and all workers must give a test one name."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None
