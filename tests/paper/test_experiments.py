"""The list of experiments names what the package has."""

import pytest

from slot_attention_tf.models import model_names
from slot_attention_tf.paper.experiments import (
    ATTENTION_SCORE,
    EXPERIMENTS,
    MODEL_TITLES,
    SIZES,
)
from slot_attention_tf.results import SCORES


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda each: each.name)
def test_experiments_name_models_scores_and_sizes(experiment):
    assert set(experiment.models) <= set(model_names(experiment.task))
    assert set(experiment.models) <= set(MODEL_TITLES)
    assert set(experiment.presets) == set(SIZES)
    assert set(experiment.reported) <= set(experiment.models)
    for scores in experiment.reported.values():
        assert set(scores) <= {*SCORES[experiment.task], ATTENTION_SCORE}
        assert all(0 <= mean <= 1 for mean, _ in scores.values())
