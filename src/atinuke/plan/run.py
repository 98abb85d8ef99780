"""`atinuke plan`: what a run would do and need, before it starts; on this machine, or on cards that are not here."""

from typing import TextIO

from atinuke.plan import far, near
from atinuke.plan.config import PlanConfig
from atinuke.plan.search import plan_cluster
from atinuke.train.progress import Display


def run(cfg: PlanConfig, out: TextIO, display: Display) -> None:
    """Writes the plan to `out`. ConfigError, with numbers, for what cannot be done."""
    if cfg.cluster is not None:
        plan = plan_cluster(cfg.cluster)
        print(far.as_json(plan) if cfg.as_json else far.as_text(plan), file=out)
        return
    preview = near.plan_here(cfg.train, display)
    print(near.as_json(preview) if cfg.as_json else near.as_text(preview), file=out)
