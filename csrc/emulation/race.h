// What the race checker counts; only in builds for the race checker.
#pragma once

#include <cstdint>

namespace skt::emulation {

// Accesses to global memory by kernels. Wide ones are of 16 bytes.
struct Counts {
  uint64_t loads, stores, loaded_bytes, stored_bytes, wide_loads, wide_stores;
};

// Since the last call.
Counts take_counts();

}  // namespace skt::emulation
