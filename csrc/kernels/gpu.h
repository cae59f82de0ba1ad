// What every GPU kernel uses: element types, vector accesses, shared memory, asynchronous copies.
//
// nvcc compiles kernels for GPUs; after "../emulation/cuda.h" g++ compiles them for the CPU, for tests.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#ifndef SKT_EMULATION
// Aligned for 16-byte accesses; one name for all types, as all `extern __shared__` arrays are the same memory.
#define SKT_DYNAMIC_SHARED(Type, name)                         \
  extern __shared__ __align__(16) unsigned char skt_shared_[]; \
  Type* name = reinterpret_cast<Type*>(skt_shared_)
#define SKT_STATIC_SHARED(Type, name, Count) __shared__ __align__(16) Type name[Count]
#endif

namespace skt::gpu {

constexpr int kWarp = 32;

// double as soon as one of the element types is double, float otherwise.
template <class... Elements>
using accumulator_t = std::conditional_t<(std::is_same_v<Elements, double> || ...), double, float>;

__device__ inline double widen(double value) { return value; }
__device__ inline float widen(float value) { return value; }
__device__ inline float widen(__half value) { return __half2float(value); }
__device__ inline float widen(__nv_bfloat16 value) { return __bfloat162float(value); }

// Rounds to nearest, ties to even.
template <class Element>
__device__ inline Element narrow(double value) {
  if constexpr (std::is_same_v<Element, __half>) return __float2half_rn(static_cast<float>(value));
  else if constexpr (std::is_same_v<Element, __nv_bfloat16>) return __float2bfloat16_rn(static_cast<float>(value));
  else return static_cast<Element>(value);
}

template <class Element>
__device__ inline Element narrow(float value) {
  if constexpr (std::is_same_v<Element, __half>) return __float2half_rn(value);
  else if constexpr (std::is_same_v<Element, __nv_bfloat16>) return __float2bfloat16_rn(value);
  else return static_cast<Element>(value);
}

// Neighbours that one thread reads or writes at once.
template <class Element, int Count>
struct alignas(sizeof(Element) * Count > 16 ? 16 : sizeof(Element) * Count) Pack {
  Element value[Count];
};

template <int Count, class Element>
__device__ inline Pack<Element, Count> load(const Element* from) {
  return *reinterpret_cast<const Pack<Element, Count>*>(from);
}

template <int Count, class Element>
__device__ inline void store(Element* to, const Pack<Element, Count>& pack) {
  *reinterpret_cast<Pack<Element, Count>*>(to) = pack;
}

// cp.async: Bytes (4, 8 or 16, both addresses multiples of it) on their way from global to shared memory without passing
// through registers; zeros where not `valid`, and then `from` is not read. On sm_75, which has no such copies, at once.
template <int Bytes>
__device__ inline void copy_async(void* to, const void* from, bool valid = true) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
#ifdef SKT_EMULATION
  emulation::copy_async(to, from, Bytes, valid ? 0 : Bytes);
#elif __CUDA_ARCH__ >= 800
  const unsigned target = static_cast<unsigned>(__cvta_generic_to_shared(to));
  const int read = valid ? Bytes : 0;
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(from), "r"(read) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(target), "l"(from), "n"(Bytes), "r"(read) : "memory");
  }
#else
  using Word = std::conditional_t<Bytes == 16, uint4, std::conditional_t<Bytes == 8, uint2, unsigned>>;
  *static_cast<Word*>(to) = valid ? *static_cast<const Word*>(from) : Word{};
#endif
}

// Ends a group of asynchronous copies.
__device__ inline void commit_async() {
#ifdef SKT_EMULATION
  emulation::commit_async();
#elif __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most Pending of this thread's groups are on their way; other threads' copies need a barrier as well.
template <int Pending>
__device__ inline void wait_async() {
#ifdef SKT_EMULATION
  emulation::wait_async(Pending);
#elif __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#endif
}

}  // namespace skt::gpu
