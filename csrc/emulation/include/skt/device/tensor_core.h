// The header of the same name in csrc/include, for the emulation: mma.sync, with the fragment layouts of the PTX ISA
// ("Matrix multiply-accumulate operation using mma instruction"). Each lane holds
//   of A (16 x Depth, row major): rows lane / 4 and lane / 4 + 8
//   of B (Depth x 8, column major): column lane / 4
//   of C and D (16 x 8): d[e] at row lane / 4 + 8 * (e / 2), column 2 * (lane % 4) + e % 2
// and of the depth the elements at 2 * (lane % 4) + {0, 1, 8, 9} (16 bits) or at lane % 4 + {0, 4} (tf32).
#pragma once

#include <cstdint>

#include "emulation/cuda.h"

namespace skt::emulation {

struct FragmentA {
  uint32_t a[4];
};
struct FragmentB {
  uint32_t b[2];
};

template <class Fragment>
LaneValues exchange_fragments(const Fragment& fragment, Site site) {
  return exchange(~0u, fragment, Collective::matrix, site);
}

inline float low_half(uint32_t bits, __half) {
  return __half2float(skt_emulation_bits<__half>(static_cast<uint16_t>(bits)));
}
inline float low_half(uint32_t bits, __nv_bfloat16) { return __uint_as_float(bits << 16); }

}  // namespace skt::emulation

namespace skt::gpu {

// D = A B + C, depth 16, elements of 16 bits, sums in float32.
template <class Element>
inline void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const float (&c)[4],
                         emulation::Site site = emulation::Site::here()) {
  const emulation::LaneValues rows =
      emulation::exchange_fragments(emulation::FragmentA{{a[0], a[1], a[2], a[3]}}, site);
  const emulation::LaneValues columns = emulation::exchange_fragments(emulation::FragmentB{{b[0], b[1]}}, site);
  const auto element = [](uint32_t pair, int k) { return emulation::low_half(k % 2 ? pair >> 16 : pair, Element()); };
  for (int e = 0; e < 4; ++e) {
    const int row = emulation::lane() / 4 + 8 * (e / 2), column = emulation::lane() % 4 * 2 + e % 2;
    float sum = c[e];
    for (int k = 0; k < 16; ++k) {
      const int holder = k % 8 / 2, upper = k / 8;
      const emulation::FragmentA from_a = rows.of<emulation::FragmentA>(row % 8 * 4 + holder);
      const emulation::FragmentB from_b = columns.of<emulation::FragmentB>(column * 4 + holder);
      sum += element(from_a.a[row / 8 + 2 * upper], k) * element(from_b.b[upper], k);
    }
    d[e] = sum;
  }
}

// D = A B + C, depth 8. The unit reads the upper 19 bits of each float32.
inline void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const float (&c)[4],
                             emulation::Site site = emulation::Site::here()) {
  const emulation::LaneValues rows =
      emulation::exchange_fragments(emulation::FragmentA{{a[0], a[1], a[2], a[3]}}, site);
  const emulation::LaneValues columns = emulation::exchange_fragments(emulation::FragmentB{{b[0], b[1]}}, site);
  const auto element = [](uint32_t bits) { return __uint_as_float(bits & 0xffffe000u); };
  for (int e = 0; e < 4; ++e) {
    const int row = emulation::lane() / 4 + 8 * (e / 2), column = emulation::lane() % 4 * 2 + e % 2;
    float sum = c[e];
    for (int k = 0; k < 8; ++k) {
      const int holder = k % 4, upper = k / 4;
      const emulation::FragmentA from_a = rows.of<emulation::FragmentA>(row % 8 * 4 + holder);
      const emulation::FragmentB from_b = columns.of<emulation::FragmentB>(column * 4 + holder);
      sum += element(from_a.a[row / 8 + 2 * upper]) * element(from_b.b[upper]);
    }
    d[e] = sum;
  }
}

// To the nearest number with ten bits of mantissa, ties away from zero.
inline uint32_t to_tf32(float value) {
  const uint32_t bits = __float_as_uint(value);
  const bool finite = (bits & 0x7f800000u) != 0x7f800000u;
  return finite ? (bits + 0x1000u) & 0xffffe000u : bits;
}

}  // namespace skt::gpu
