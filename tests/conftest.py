"""What holds for the whole test run."""

import signal


def pytest_configure() -> None:
    """Hears Ctrl-C as from a terminal: a background job of a shell ignores it, and so would its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
