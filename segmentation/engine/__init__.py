"""The one engine that trains: stages and segmentation networks alike.

`trainer` makes Lightning's Trainer and fits; `ledger` keeps what must not be lost; `processes` shares work among several; `sweep` looks for
a learning rate.
"""

from segmentation.engine.ledger import Ledger, Progress, Row, Trainable, best_epoch, read_checkpoint
from segmentation.engine.loggers import make_loggers
from segmentation.engine.processes import (
    SharedBatches,
    gather_rows,
    in_order,
    mixed_seed,
    process_rank,
)
from segmentation.engine.sweep import RateSweep, Sweep
from segmentation.engine.trainer import count_processes, fit, make_trainer, pick_device, with_precision

__all__ = [
    "Ledger",
    "Progress",
    "RateSweep",
    "Row",
    "SharedBatches",
    "Sweep",
    "Trainable",
    "best_epoch",
    "count_processes",
    "fit",
    "gather_rows",
    "in_order",
    "make_loggers",
    "make_trainer",
    "mixed_seed",
    "pick_device",
    "process_rank",
    "read_checkpoint",
    "with_precision",
]
