// Launches of CUDA kernels through the CUDA runtime alone, without libtorch_cuda. A build of the emulation finds a
// header of this name in csrc/emulation/include first, and runs the same operators on CPU tensors.
#pragma once

#include <cuda_runtime.h>
#include <dlfcn.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <limits>

#include "skt/check.h"

#define SKT_GPU_KEY CUDA  // the dispatch key of the operators in csrc/cuda

namespace skt {

struct Launch {
  int64_t blocks;     // along x
  int64_t parts = 1;  // along y
  dim3 threads;
  size_t shared = 0;  // bytes
};

inline void check_cuda(const char* op, cudaError_t error) {
  if (error != cudaSuccess) fail("skt_ext::", op, ": CUDA: ", cudaGetErrorString(error));
}

// torch's current stream of a device. Stream::nativeHandle of the stable ABI came with torch 2.13; this function is
// older, but it is in libtorch_cuda, which a library for machines without CUDA cannot link. So it is looked up in the
// process.
inline cudaStream_t current_stream(int32_t device) {
  using Function = int32_t (*)(int32_t, void**);
  static const Function function = [] {
    constexpr const char* kName = "aoti_torch_get_current_cuda_stream";
    // By the name of the library: what torch has loaded is not visible to dlsym(RTLD_DEFAULT).
    void* torch_cuda = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
    void* found = torch_cuda == nullptr ? nullptr : dlsym(torch_cuda, kName);
    if (found == nullptr)
      fail("skt_ext: this torch has no ", kName, ", which CUDA kernels need: is it built with CUDA?");
    return reinterpret_cast<Function>(found);
  }();
  void* stream = nullptr;
  if (function(device, &stream) != 0) fail("skt_ext: torch has no current stream on CUDA device ", device);
  return static_cast<cudaStream_t>(stream);
}

// The device of a tensor is current as long as this object lives.
class CudaDevice {
 public:
  explicit CudaDevice(const Tensor& tensor)
      : guard_(tensor.get_device_index()), stream_(current_stream(tensor.get_device_index())) {}

  cudaStream_t stream() const { return stream_; }

  int processors() const { return attribute(cudaDevAttrMultiProcessorCount); }

  // 9 of sm_90.
  int major_version() const { return attribute(cudaDevAttrComputeCapabilityMajor); }

 private:
  static int attribute(cudaDeviceAttr which) {
    int device = 0, value = 0;
    check_cuda("device", cudaGetDevice(&device));
    check_cuda("device", cudaDeviceGetAttribute(&value, which, device));
    return value;
  }

  torch::stable::accelerator::DeviceGuard guard_;
  cudaStream_t stream_;
};

template <class... Parameters, class... Values>
void launch(const char* op, const CudaDevice& device, const Launch& shape, void (*kernel)(Parameters...),
            Values... values) {
  if (shape.blocks > std::numeric_limits<int32_t>::max()) {
    fail("skt_ext::", op, ": needs ", shape.blocks, " thread blocks, more than a launch may have (2^31 - 1)");
  }
  const dim3 grid(static_cast<unsigned>(shape.blocks), static_cast<unsigned>(shape.parts));
  kernel<<<grid, shape.threads, shape.shared, device.stream()>>>(static_cast<Parameters>(values)...);
  check_cuda(op, cudaGetLastError());
}

}  // namespace skt
