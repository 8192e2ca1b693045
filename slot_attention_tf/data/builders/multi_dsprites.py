"""Multi-dSprites: squares, ellipses and hearts that hide one another, 64x64."""

import dataclasses
from typing import ClassVar

from slot_attention_tf.data import records
from slot_attention_tf.data.builders import base
from slot_attention_tf.data.generators import multi_dsprites

# The one that papers mean by "Multi-dSprites".
DEFAULT_VARIANT = "colored_on_grayscale"


@dataclasses.dataclass(eq=False)
class MultiDSpritesConfig(base.SceneConfig):
    """Configuration of `multi_dsprites`; by default the split of the papers.

    Args: as `SceneConfig`, and
        variant: String, `"binarized"`, `"colored_on_grayscale"` or
            `"colored_on_colored"`.
    """

    num_train: int = 60_000
    num_test: int = 320
    variant: str = DEFAULT_VARIANT

    def __post_init__(self):
        super().__post_init__()
        if self.variant not in multi_dsprites.VARIANTS:
            raise ValueError(
                f"`variant` must be one of {', '.join(multi_dsprites.VARIANTS)}. "
                f"Received: variant={self.variant!r}"
            )


class MultiDSprites(base.SceneBuilder):
    """TFDS builder of Multi-dSprites, from the public files or generated.

    Configs `<variant>_real` convert the first 60,320 records of a public file (Kabra
    et al., Multi-Object Datasets, 2019), the first 60,000 of them for training;
    `<variant>_synthetic` draw as many with
    `slot_attention_tf.data.generators.multi_dsprites`. `real` and `synthetic` are the
    variant of the papers, `colored_on_grayscale`.
    """

    name = "multi_dsprites"
    VERSION = "1.0.0"
    BUILDER_CONFIGS: ClassVar = [
        *(
            MultiDSpritesConfig(name=source, source=source)
            for source in (base.SYNTHETIC, base.REAL)
        ),
        *(
            MultiDSpritesConfig(
                name=f"{variant}_{source}", source=source, variant=variant
            )
            for variant in multi_dsprites.VARIANTS
            for source in (base.SYNTHETIC, base.REAL)
        ),
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "synthetic"
    DESCRIPTION = "Squares, ellipses and hearts over one another, with label maps."

    @property
    def _variant(self):
        return multi_dsprites.VARIANTS[self.builder_config.variant]

    @property
    def _factors(self):
        entities = self._variant.max_num_entities
        names = ("visibility", "shape", "scale", "orientation", "x", "y")
        factors = {name: (entities,) for name in names}
        return {**factors, "color": (entities, self._variant.channels)}

    def _features(self):
        return base.entity_features(
            multi_dsprites.RESOLUTION, self._variant.channels, self._factors
        )

    def _draw_scene(self):
        return multi_dsprites.draw_scene, {"variant": self.builder_config.variant}

    def _public_file(self):
        variant = self.builder_config.variant
        return f"multi_dsprites/multi_dsprites_{variant}.tfrecords"

    def _record_format(self, file):
        variant = self._variant
        return records.RecordFormat(
            bytes_features={
                "image": (*multi_dsprites.RESOLUTION, variant.channels),
                "mask": (*multi_dsprites.RESOLUTION, variant.max_num_entities, 1),
            },
            float_features=self._factors,
            entity_axis=2,
        )
