"""Density maps on a GPU in Triton. Imported only when an operator runs there: importing triton takes a second.

Both operators give the same bits for the same call: no atomic adds. Each tile of the output has one program, which
adds the people whose windows touch the tile in the order of their indices.
"""

from skt_ext._triton.density_splat import density_splat
from skt_ext._triton.geodesic_splat import geodesic_splat

__all__ = ["density_splat", "geodesic_splat"]
