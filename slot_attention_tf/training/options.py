"""How a run is carried out, beside the preset that says what it trains."""

import dataclasses

from slot_attention_tf.settings import setting
from slot_attention_tf.training.devices import PRECISIONS, STRATEGIES


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a training run; each is a flag of the scripts."""

    model_dir: str = setting("Folder of the run.")
    data_dir: str | None = setting("Folder of all datasets. Default: TFDS's.", None)
    seed: int = setting("Seed of weights, slots and data order.", 0, minimum=0)
    strategy: str = setting(
        "Devices: auto is all visible GPUs if there are several, else one device.",
        "auto",
        choices=STRATEGIES,
    )
    precision: str = setting(
        "Arithmetic of the layers; attention, masks and loss stay in float32.",
        "float32",
        choices=PRECISIONS,
    )
    jit_compile: bool = setting("Compile the training step by XLA.", False)
    deterministic: bool = setting("Bit-identical runs; slower.", False)
    restarts: int = setting(
        "How often a run that diverges, or whose masks follow the place in the image, "
        "begins anew with other seeds.",
        0,
        minimum=0,
    )
    log_interval: int = setting("Steps between two logged rows.", 100)
    checkpoint_interval: int = setting("Steps between two checkpoints.", 1000)
    eval_interval: int = setting("Steps between two evaluations with pictures.", 1000)
