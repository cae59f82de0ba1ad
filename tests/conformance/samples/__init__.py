"""The samples of every operator, a file for each."""

from tests.conformance.sample import Tested
from tests.conformance.samples.cosine_loss import COSINE_LOSS, RESCALE
from tests.conformance.samples.dense_fsp_distance import DENSE_FSP, DENSE_FSP_BACKWARD
from tests.conformance.samples.density import DENSITY_SPLAT, GEODESIC_NEIGHBORS, GEODESIC_SPLAT
from tests.conformance.samples.embedded_distance import EMBEDDED, EMBEDDED_BACKWARD
from tests.conformance.samples.pool_and_pack import POOL_AND_PACK, POOL_AND_PACK_BACKWARD

TESTED: dict[str, Tested] = {
    tested.name: tested
    for tested in (
        COSINE_LOSS,
        RESCALE,
        POOL_AND_PACK,
        POOL_AND_PACK_BACKWARD,
        DENSE_FSP,
        DENSE_FSP_BACKWARD,
        EMBEDDED,
        EMBEDDED_BACKWARD,
        DENSITY_SPLAT,
        GEODESIC_SPLAT,
        GEODESIC_NEIGHBORS,
    )
}
