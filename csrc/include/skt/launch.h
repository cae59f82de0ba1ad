// Launching CUDA kernels through the CUDA runtime alone: nothing here needs libtorch_cuda. Under "emulation/cuda.h" whole
// operators run on the CPU, on CPU tensors.
#pragma once

#ifndef SKT_EMULATION
#include <cuda_runtime.h>
#endif
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <limits>

#include "check.h"

namespace skt {

struct Launch {
  int64_t blocks;      // along x
  int64_t parts = 1;   // along y
  dim3 threads;
  size_t shared = 0;   // bytes
};

#ifndef SKT_EMULATION

#define SKT_GPU_KEY CUDA  // the dispatch key that operators of csrc/cuda register for

inline void check_cuda(const char* op, cudaError_t error) {
  if (error != cudaSuccess) fail("skt_ext::", op, ": CUDA: ", cudaGetErrorString(error));
}

// The device of a tensor is current, and `stream` its current stream, as long as this object lives.
class CudaDevice {
 public:
  explicit CudaDevice(const Tensor& tensor)
      : guard_(tensor.get_device_index()),
        stream_(static_cast<cudaStream_t>(
            torch::stable::accelerator::getCurrentStream(tensor.get_device_index()).nativeHandle())) {}

  cudaStream_t stream() const { return stream_; }

 private:
  torch::stable::accelerator::DeviceGuard guard_;
  cudaStream_t stream_;
};

template <class... Parameters, class... Values>
void launch(
    const char* op, const CudaDevice& device, const Launch& shape, void (*kernel)(Parameters...), Values... values) {
  if (shape.blocks > std::numeric_limits<int32_t>::max()) {
    fail("skt_ext::", op, ": needs ", shape.blocks, " thread blocks, more than a launch may have (2^31 - 1)");
  }
  constexpr size_t kWithoutAsking = 48 << 10;
  if (shape.shared > kWithoutAsking) {
    check_cuda(op, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared)));
  }
  const dim3 grid(static_cast<unsigned>(shape.blocks), static_cast<unsigned>(shape.parts));
  kernel<<<grid, shape.threads, shape.shared, device.stream()>>>(static_cast<Parameters>(values)...);
  check_cuda(op, cudaGetLastError());
}

#else

#define SKT_GPU_KEY CPU

struct CudaDevice {
  explicit CudaDevice(const Tensor&) {}
};

template <class... Parameters, class... Values>
void launch(
    const char*, const CudaDevice&, const Launch& shape, void (*kernel)(Parameters...), Values... values) {
  const dim3 grid(static_cast<unsigned>(shape.blocks), static_cast<unsigned>(shape.parts));
  emulation::launch(grid, shape.threads, shape.shared, kernel, values...);
}

#endif

}  // namespace skt
