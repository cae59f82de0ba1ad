// CUDA as the kernels use it: element types, shared memory, asynchronous copies. A build of the emulation finds a
// header of this name in csrc/emulation/include first.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

// Aligned for 16-byte accesses; one name for all types, as all `extern __shared__` arrays are the same memory.
#define SKT_DYNAMIC_SHARED(Type, name)                         \
  extern __shared__ __align__(16) unsigned char skt_shared_[]; \
  Type* name = reinterpret_cast<Type*>(skt_shared_)
#define SKT_STATIC_SHARED(Type, name, Count) __shared__ __align__(16) Type name[Count]

namespace skt::gpu {

// cp.async: Bytes (4, 8 or 16, both addresses multiples of it) on their way from global to shared memory without
// passing through registers; zeros where not `valid`, and then `from` is not read. On sm_75, which has no such copies,
// at once.
template <int Bytes>
__device__ inline void copy_async(void* to, const void* from, bool valid = true) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
#if __CUDA_ARCH__ >= 800
  const unsigned target = static_cast<unsigned>(__cvta_generic_to_shared(to));
  const int read = valid ? Bytes : 0;
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(from), "r"(read) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(target), "l"(from), "n"(Bytes), "r"(read)
                 : "memory");
  }
#else
  using Word = std::conditional_t<Bytes == 16, uint4, std::conditional_t<Bytes == 8, uint2, unsigned> >;
  *static_cast<Word*>(to) = valid ? *static_cast<const Word*>(from) : Word{};
#endif
}

// Ends a group of asynchronous copies.
__device__ inline void commit_async() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most Pending of this thread's groups are on their way; other threads' copies need a barrier as well.
template <int Pending>
__device__ inline void wait_async() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#endif
}

}  // namespace skt::gpu
