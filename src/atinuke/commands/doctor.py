"""`atinuke doctor`: takes nothing but its name."""

from atinuke.flags import Stage


class DoctorStage(Stage):
    """`atinuke doctor`, which has no settings."""

    summary = "What this machine offers, and what is missing."


def doctor() -> None:
    """Say what this machine offers for training (measured, not assumed) and what is missing, one line each."""
    from atinuke.doctor import print_findings
    from atinuke.doctor import run as stage

    print_findings(stage())
