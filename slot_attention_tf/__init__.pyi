# What slot_attention_tf/__init__.py loads on first use, for editors and type checkers.
from slot_attention_tf.data.images import preprocess_images as preprocess_images
from slot_attention_tf.export import export_onnx_steps as export_onnx_steps
from slot_attention_tf.export import export_saved_model as export_saved_model
from slot_attention_tf.layers import ComponentVAE as ComponentVAE
from slot_attention_tf.layers import ConvEncoder as ConvEncoder
from slot_attention_tf.layers import FSPool as FSPool
from slot_attention_tf.layers import FixedSlotInitializer as FixedSlotInitializer
from slot_attention_tf.layers import PixelMLPDecoder as PixelMLPDecoder
from slot_attention_tf.layers import SetEncoder as SetEncoder
from slot_attention_tf.layers import SlotAttention as SlotAttention
from slot_attention_tf.layers import SlotInitializer as SlotInitializer
from slot_attention_tf.layers import SlotMLP as SlotMLP
from slot_attention_tf.layers import SoftPositionEmbed as SoftPositionEmbed
from slot_attention_tf.layers import SpatialBroadcastDecoder as SpatialBroadcastDecoder
from slot_attention_tf.layers import UNet as UNet
from slot_attention_tf.layers import build_grid as build_grid
from slot_attention_tf.layers import mix_slots as mix_slots
from slot_attention_tf.layers import spatial_broadcast as spatial_broadcast
from slot_attention_tf.layers import spatial_flatten as spatial_flatten
from slot_attention_tf.losses import HungarianHuberLoss as HungarianHuberLoss
from slot_attention_tf.losses import hungarian_huber_loss as hungarian_huber_loss
from slot_attention_tf.losses import l2_loss as l2_loss
from slot_attention_tf.losses import pad_targets as pad_targets
from slot_attention_tf.metrics import AdjustedRandIndex as AdjustedRandIndex
from slot_attention_tf.metrics import AveragePrecisionClevr as AveragePrecisionClevr
from slot_attention_tf.metrics import MeanBestOverlap as MeanBestOverlap
from slot_attention_tf.metrics import SlotMeanIoU as SlotMeanIoU
from slot_attention_tf.metrics import adjusted_rand_index as adjusted_rand_index
from slot_attention_tf.metrics import attention_to_labels as attention_to_labels
from slot_attention_tf.metrics import average_precision_clevr as average_precision_clevr
from slot_attention_tf.metrics import mean_best_overlap as mean_best_overlap
from slot_attention_tf.metrics import mean_iou as mean_iou
from slot_attention_tf.metrics import resize_labels as resize_labels
from slot_attention_tf.models import DSPN as DSPN
from slot_attention_tf.models import IODINE as IODINE
from slot_attention_tf.models import MONet as MONet
from slot_attention_tf.models import (
    SlotAttentionAutoEncoder as SlotAttentionAutoEncoder,
)
from slot_attention_tf.models import SlotAttentionClassifier as SlotAttentionClassifier
from slot_attention_tf.reference import build_model as build_model
from slot_attention_tf.reference import (
    load_reference_checkpoint as load_reference_checkpoint,
)
from slot_attention_tf.reference import unstack_and_split as unstack_and_split
from slot_attention_tf.reference.data import build_clevr as build_clevr
from slot_attention_tf.reference.data import (
    build_clevr_iterator as build_clevr_iterator,
)
from slot_attention_tf.reference.data import preprocess_clevr as preprocess_clevr
from slot_attention_tf.tasks import ValidationScores as ValidationScores
from slot_attention_tf.tasks import train as train

__version__: str
