// What every GPU kernel uses: element types, vector accesses, dynamic shared memory.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

// Aligned for 16-byte accesses; one name for all types, as all `extern __shared__` arrays are the same memory.
#ifndef SKT_DYNAMIC_SHARED
#define SKT_DYNAMIC_SHARED(Type, name)                          \
  extern __shared__ __align__(16) unsigned char skt_shared_[]; \
  Type* name = reinterpret_cast<Type*>(skt_shared_)
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

}  // namespace skt::gpu
