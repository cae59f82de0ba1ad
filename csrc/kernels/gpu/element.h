// Elements of GPU kernels: the precision they are computed in, packs of neighbours, elements whose storage is known at
// run time.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../storage.h"
#include "skt/device/language.h"

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
  if constexpr (std::is_same_v<Element, __half>)
    return __float2half_rn(static_cast<float>(value));
  else if constexpr (std::is_same_v<Element, __nv_bfloat16>)
    return __float2bfloat16_rn(static_cast<float>(value));
  else
    return static_cast<Element>(value);
}

template <class Element>
__device__ inline Element narrow(float value) {
  if constexpr (std::is_same_v<Element, __half>)
    return __float2half_rn(value);
  else if constexpr (std::is_same_v<Element, __nv_bfloat16>)
    return __float2bfloat16_rn(value);
  else
    return static_cast<Element>(value);
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

// Count neighbours that are elements of the given type in memory and A in registers.
template <int Count, class Element, class A>
__device__ inline Pack<A, Count> load_as(const void* data, int64_t offset) {
  const Pack<Element, Count> pack = load<Count>(static_cast<const Element*>(data) + offset);
  Pack<A, Count> result;
#pragma unroll
  for (int i = 0; i < Count; ++i) result.value[i] = widen(pack.value[i]);
  return result;
}

template <int Count, class Element, class A>
__device__ inline void store_as(void* data, int64_t offset, const Pack<A, Count>& pack) {
  Pack<Element, Count> result;
#pragma unroll
  for (int i = 0; i < Count; ++i) result.value[i] = narrow<Element>(pack.value[i]);
  store<Count>(static_cast<Element*>(data) + offset, result);
}

// The same where the type is known at run time, as the storage; the branch is the same for all threads. float64 is only
// ever computed in double.
template <int Count, class A>
__device__ inline Pack<A, Count> read(const void* data, Storage storage, int64_t offset) {
  if constexpr (sizeof(A) == 8) {
    if (storage == Storage::float64) return load_as<Count, double, A>(data, offset);
  }
  switch (storage) {
    case Storage::float16: return load_as<Count, __half, A>(data, offset);
    case Storage::bfloat16: return load_as<Count, __nv_bfloat16, A>(data, offset);
    default: return load_as<Count, float, A>(data, offset);
  }
}

template <int Count, class A>
__device__ inline void write(void* data, Storage storage, int64_t offset, const Pack<A, Count>& pack) {
  if constexpr (sizeof(A) == 8) {
    if (storage == Storage::float64) return store_as<Count, double>(data, offset, pack);
  }
  switch (storage) {
    case Storage::float16: return store_as<Count, __half>(data, offset, pack);
    case Storage::bfloat16: return store_as<Count, __nv_bfloat16>(data, offset, pack);
    default: return store_as<Count, float>(data, offset, pack);
  }
}

}  // namespace skt::gpu
