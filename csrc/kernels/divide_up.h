// Division of sizes, rounded up; for kernels and their callers, on every device.
#pragma once

#ifdef __CUDACC__
#define SKT_HOST_DEVICE __host__ __device__
#else
#define SKT_HOST_DEVICE
#endif

namespace skt {

// ceil(a / b) for a >= 0 and b > 0. It does not overflow, as (a + b - 1) / b would.
template <class Integer>
SKT_HOST_DEVICE constexpr Integer divide_up(Integer a, Integer b) {
  return a / b + (a % b != 0);
}

}  // namespace skt

#undef SKT_HOST_DEVICE
