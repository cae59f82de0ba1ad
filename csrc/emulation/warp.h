// Barriers, shuffles, votes and reductions. The names and parameters are CUDA's, followed by the place of the call.
#pragma once

#include <algorithm>
#include <type_traits>

#include "machine.h"

inline void __syncthreads(skt::emulation::Site site = skt::emulation::Site::here()) {
  skt::emulation::barrier(0, site);
}
inline int __syncthreads_or(int vote, skt::emulation::Site site = skt::emulation::Site::here()) {
  return skt::emulation::barrier(vote, site).any;
}
inline int __syncthreads_and(int vote, skt::emulation::Site site = skt::emulation::Site::here()) {
  return skt::emulation::barrier(vote, site).all;
}
inline int __syncthreads_count(int vote, skt::emulation::Site site = skt::emulation::Site::here()) {
  return skt::emulation::barrier(vote, site).count;
}

namespace skt::emulation {

inline int lane() { return static_cast<int>(block.current->lane()); }

template <class Value>
LaneValues exchange(unsigned mask, const Value& value, Collective kind, Site site) {
  static_assert(sizeof(Value) <= 16 && std::is_trivially_copyable_v<Value>, "a warp exchanges up to 16 bytes a lane");
  return exchange(mask, &value, sizeof(value), kind, site);
}

// The value of lane `source` where it is a lane of the same segment of `width` lanes, otherwise the caller's own.
template <class Value>
Value shuffle(unsigned mask, Value value, int source, bool in_segment, Site site) {
  const LaneValues values = exchange(mask, value, Collective::shuffle, site);
  return in_segment ? values.of<Value>(static_cast<unsigned>(source)) : value;
}

inline unsigned ballot(unsigned mask, bool vote, Site site) {
  const LaneValues values = exchange(mask, vote, Collective::vote, site);
  unsigned bits = 0;
  for (unsigned i = 0; i < kLanes; ++i) bits |= (values.arrived >> i & 1) && values.of<bool>(i) ? 1u << i : 0;
  return bits;
}

template <class Value, class Combine>
Value reduce(unsigned mask, Value value, Combine combine, Site site) {
  const LaneValues values = exchange(mask, value, Collective::reduce, site);
  Value result{};
  bool first = true;
  for (unsigned i = 0; i < kLanes; ++i) {
    if (!(values.arrived >> i & 1)) continue;
    result = first ? values.of<Value>(i) : combine(result, values.of<Value>(i));
    first = false;
  }
  return result;
}

}  // namespace skt::emulation

inline void __syncwarp(unsigned mask = ~0u, skt::emulation::Site site = skt::emulation::Site::here()) {
  skt::emulation::exchange(mask, 0, skt::emulation::Collective::sync, site);
}
template <class Value>
Value __shfl_sync(unsigned mask, Value value, int source, int width = 32,
                  skt::emulation::Site site = skt::emulation::Site::here()) {
  const int segment = skt::emulation::lane() / width * width;
  return skt::emulation::shuffle(mask, value, segment + (source & (width - 1)), true, site);
}
template <class Value>
Value __shfl_up_sync(unsigned mask, Value value, unsigned delta, int width = 32,
                     skt::emulation::Site site = skt::emulation::Site::here()) {
  const int lane = skt::emulation::lane(), source = lane - static_cast<int>(delta);
  return skt::emulation::shuffle(mask, value, source, source >= lane / width * width, site);
}
template <class Value>
Value __shfl_down_sync(unsigned mask, Value value, unsigned delta, int width = 32,
                       skt::emulation::Site site = skt::emulation::Site::here()) {
  const int lane = skt::emulation::lane(), source = lane + static_cast<int>(delta);
  return skt::emulation::shuffle(mask, value, source, source < (lane / width + 1) * width, site);
}
template <class Value>
Value __shfl_xor_sync(unsigned mask, Value value, int bits, int width = 32,
                      skt::emulation::Site site = skt::emulation::Site::here()) {
  const int lane = skt::emulation::lane(), source = lane ^ bits;
  return skt::emulation::shuffle(mask, value, source, source < (lane / width + 1) * width, site);
}

inline unsigned __ballot_sync(unsigned mask, int vote, skt::emulation::Site site = skt::emulation::Site::here()) {
  return skt::emulation::ballot(mask, vote != 0, site);
}
inline int __any_sync(unsigned mask, int vote, skt::emulation::Site site = skt::emulation::Site::here()) {
  return skt::emulation::ballot(mask, vote != 0, site) != 0;
}
inline int __all_sync(unsigned mask, int vote, skt::emulation::Site site = skt::emulation::Site::here()) {
  return skt::emulation::ballot(mask, vote == 0, site) == 0;
}
template <class Value>
Value __reduce_add_sync(unsigned mask, Value value, skt::emulation::Site site = skt::emulation::Site::here()) {
  return skt::emulation::reduce(mask, value, [](Value a, Value b) { return Value(a + b); }, site);
}
template <class Value>
Value __reduce_max_sync(unsigned mask, Value value, skt::emulation::Site site = skt::emulation::Site::here()) {
  return skt::emulation::reduce(mask, value, [](Value a, Value b) { return std::max(a, b); }, site);
}
template <class Value>
Value __reduce_min_sync(unsigned mask, Value value, skt::emulation::Site site = skt::emulation::Site::here()) {
  return skt::emulation::reduce(mask, value, [](Value a, Value b) { return std::min(a, b); }, site);
}
