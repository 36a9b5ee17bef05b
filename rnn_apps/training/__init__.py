"""What `fit` adds to Keras: callbacks, and the run folder with exact resume."""

from rnn_apps.training.adversarial import adversarial_step
from rnn_apps.training.callbacks import (
    AveragedWeights,
    EarlyStopping,
    FeedEpoch,
    StopOnNonFinite,
    WarmupCosine,
    progress,
    shown,
)
from rnn_apps.training.fine_tuning import (
    SharedRateAdam,
    SharedRateSGD,
    TrainFrom,
    falling_shares,
    thaw,
    trainable,
    with_shares,
)
from rnn_apps.training.optimizers import optimizer_named, schedule_named
from rnn_apps.training.run_folder import (
    CONFIG_FILE,
    LANGUAGE_FOLDER,
    MODEL_FILE,
    RUN_FILE,
    RunFolder,
    check_run_folder,
)
from rnn_apps.whole_files import write_atomically, written_beside

__all__ = [
    "CONFIG_FILE",
    "LANGUAGE_FOLDER",
    "MODEL_FILE",
    "RUN_FILE",
    "AveragedWeights",
    "EarlyStopping",
    "FeedEpoch",
    "RunFolder",
    "SharedRateAdam",
    "SharedRateSGD",
    "StopOnNonFinite",
    "TrainFrom",
    "WarmupCosine",
    "adversarial_step",
    "check_run_folder",
    "falling_shares",
    "optimizer_named",
    "progress",
    "schedule_named",
    "shown",
    "thaw",
    "trainable",
    "with_shares",
    "write_atomically",
    "written_beside",
]
