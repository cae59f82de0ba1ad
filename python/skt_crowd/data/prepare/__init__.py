"""Density maps on disk for other programs, and contact sheets of them."""

from skt_crowd.data.prepare.maps import (
    MapSettings,
    PreparedImage,
    PreparedMaps,
    prepare_density_maps,
    read_prepared_map,
)

__all__ = ["MapSettings", "PreparedImage", "PreparedMaps", "prepare_density_maps", "read_prepared_map"]
