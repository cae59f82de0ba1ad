// The header of the same name in csrc/include, for the emulation: operators of csrc/cuda run on CPU tensors.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <limits>

#include "emulation/cuda.h"
#include "skt/check.h"

#define SKT_GPU_KEY CPU

namespace skt {

struct Launch {
  int64_t blocks;     // along x
  int64_t parts = 1;  // along y
  dim3 threads;
  size_t shared = 0;  // bytes
};

struct CudaDevice {
  explicit CudaDevice(const Tensor&) {}
  int processors() const { return 4; }
  int major_version() const { return 9; }
};

// As a GPU, it refuses what no launch may have; the shared memory that a kernel gets without asking for more is 48 KiB.
template <class... Parameters, class... Values>
void launch(const char* op, const CudaDevice&, const Launch& shape, void (*kernel)(Parameters...), Values... values) {
  const unsigned threads = shape.threads.x * shape.threads.y * shape.threads.z;
  if (shape.blocks < 1 || shape.blocks > std::numeric_limits<int32_t>::max() || shape.parts < 1 ||
      shape.parts > 65535 || threads < 1 || threads > 1024 || shape.shared > size_t{48} << 10) {
    fail("skt_ext::", op, ": a GPU would refuse this launch: ", shape.blocks, " x ", shape.parts, " blocks of ",
         threads, " threads with ", shape.shared, " bytes of shared memory");
  }
  const dim3 grid(static_cast<unsigned>(shape.blocks), static_cast<unsigned>(shape.parts));
  emulation::launch(grid, shape.threads, shape.shared, kernel, values...);
}

}  // namespace skt
