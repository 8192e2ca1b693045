"""The experiments of the paper, and what it reports of them."""

import dataclasses

SIZES = ("cpu", "paper")
AP_SCORES = ("AP@inf", "AP@1", "AP@0.5", "AP@0.25", "AP@0.125")
ATTENTION_SCORE = "attention_fg_ari"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One column of a table: data, and the models that are compared on it.

    Attributes:
        name: String.
        title: String, its name for people.
        task: String, `"discovery"` or `"set_prediction"`.
        presets: Dictionary from the size, `"paper"` or `"cpu"`, to the name of a
            preset, the same for all models. It need not exist for each model.
        models: Tuple of strings, the names of models.
        reported: Dictionary from model to score to `(mean, standard deviation)` in the
            paper, as fractions; None for a deviation that is not known.
    """

    name: str
    title: str
    task: str
    presets: dict
    models: tuple
    reported: dict = dataclasses.field(default_factory=dict)


def _discovery(name, title, models, fg_ari):
    presets = {"paper": name, "cpu": f"{name}_cpu"}
    reported = {model: {"fg_ari": value} for model, value in fg_ari.items()}
    return Experiment(name, title, "discovery", presets, models, reported)


_MODELS = ("slot_attention", "slot_mlp", "monet", "iodine")
_OURS = _MODELS[:2]

# Table 1, Sections 4.1 and 4.2 and Appendix C of Locatello et al. (2020).
EXPERIMENTS = (
    _discovery(
        "tetrominoes",
        "Tetrominoes",
        _MODELS,
        {
            "slot_attention": (0.995, 0.002),
            "slot_mlp": (0.251, 0.343),
            "iodine": (0.992, 0.004),
        },
    ),
    _discovery(
        "multi_dsprites",
        "Multi-dSprites",
        _MODELS,
        {
            "slot_attention": (0.913, 0.003),
            "slot_mlp": (0.603, 0.018),
            "monet": (0.904, 0.008),
            "iodine": (0.767, 0.056),
        },
    ),
    _discovery("multi_dsprites_binarized", "Multi-dSprites, binarized", _OURS, {}),
    _discovery(
        "clevr6",
        "CLEVR6",
        _MODELS,
        {
            "slot_attention": (0.988, 0.003),
            "slot_mlp": (0.604, 0.066),
            "monet": (0.962, 0.006),
            "iodine": (0.988, 0.000),
        },
    ),
    _discovery(
        "clevr6_grayscale",
        "CLEVR6, greyscale",
        _OURS,
        {"slot_attention": (0.985, 0.003)},
    ),
    Experiment(
        "clevr10",
        "CLEVR10",
        "set_prediction",
        {"paper": "clevr10", "cpu": "clevr_cpu"},
        ("slot_attention", "slot_mlp", "dspn"),
        {
            "slot_attention": {
                **{
                    score: (mean, None)
                    for score, mean in zip(
                        AP_SCORES, (0.943, 0.867, 0.560, 0.108, 0.009), strict=True
                    )
                },
                ATTENTION_SCORE: (0.780, 0.029),
            }
        },
    ),
    Experiment(
        "clevr6_properties",
        "Trained on CLEVR6",
        "set_prediction",
        {"paper": "clevr6_properties", "cpu": "clevr6_properties_cpu"},
        ("slot_attention", "dspn"),
    ),
)

MODEL_TITLES = {
    "slot_attention": "Slot Attention",
    "slot_mlp": "Slot MLP",
    "monet": "MONet",
    "iodine": "IODINE",
    "dspn": "DSPN",
}


def find_experiment(name):
    """Returns the `Experiment` of a name."""
    (found,) = (each for each in EXPERIMENTS if each.name == name)
    return found


# Whose slots and iterations the figures show.
DISCOVERY_IN_PICTURES = ("clevr6", "multi_dsprites", "tetrominoes")
