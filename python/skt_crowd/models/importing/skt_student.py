"""Students of the SKT authors' released code: 1/n-CSRNet as ``conv<block>_<layer>``, counted from 0.

In training they also hold the embeddings of eq. 2, ``transform<block>_<layer>``, which a counter does not need.
"""

from skt_crowd.models.importing.key_map import KeyMap

_FRONTEND = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21))  # places of the convolutions of conv1 to conv4 here
_BACKEND = tuple(range(0, 12, 2))  # conv5

KEY_MAP = KeyMap(
    "SKT student",
    "csrnet",
    {
        **{
            f"conv{block}_{layer}.0": f"frontend.{place}"
            for block, places in enumerate(_FRONTEND)
            for layer, place in enumerate(places)
        },
        **{f"conv4_{layer}.0": f"backend.{place}" for layer, place in enumerate(_BACKEND)},
        "conv5_0": "output_layer",
    },
    dropped=("transform",),
)
