// mma.sync and ldmatrix, with the fragment layouts of the PTX ISA ("Matrix multiply-accumulate operation using mma
// instruction", "Warp-level matrix load instruction: ldmatrix"). Each lane holds
//   of A (16 x Depth, row major): rows lane / 4 and lane / 4 + 8
//   of B (Depth x 8, column major): column lane / 4
//   of C and D (16 x 8): d[e] at row lane / 4 + 8 * (e / 2), column 2 * (lane % 4) + e % 2
// and of the depth the elements at 2 * (lane % 4) + {0, 1, 8, 9} (16 bits) or at lane % 4 + {0, 4} (tf32).
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <cstring>

#include "intrinsics.h"
#include "warp.h"

namespace skt::emulation {

struct FragmentA {
  uint32_t a[4];
};
struct FragmentB {
  uint32_t b[2];
};

inline float low_half(uint32_t bits, __half) { return __half2float(skt_emulation_bits<__half>(static_cast<uint16_t>(bits))); }
inline float low_half(uint32_t bits, __nv_bfloat16) { return __uint_as_float(bits << 16); }

// D = A B + C, depth 16, elements of 16 bits, sums in float32.
template <class Element>
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const float (&c)[4], Site site) {
  const LaneValues rows = exchange(~0u, FragmentA{{a[0], a[1], a[2], a[3]}}, Collective::matrix, site);
  const LaneValues columns = exchange(~0u, FragmentB{{b[0], b[1]}}, Collective::matrix, site);
  const auto element = [](uint32_t pair, int k) { return low_half(k % 2 ? pair >> 16 : pair, Element()); };
  for (int e = 0; e < 4; ++e) {
    const int row = lane() / 4 + 8 * (e / 2), column = lane() % 4 * 2 + e % 2;
    float sum = c[e];
    for (int k = 0; k < 16; ++k) {
      const int holder = k % 8 / 2, upper = k / 8;
      const FragmentA from_a = rows.of<FragmentA>(row % 8 * 4 + holder);
      const FragmentB from_b = columns.of<FragmentB>(column * 4 + holder);
      sum += element(from_a.a[row / 8 + 2 * upper], k) * element(from_b.b[upper], k);
    }
    d[e] = sum;
  }
}

// D = A B + C, depth 8. The unit reads the upper 19 bits of each float32.
inline void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const float (&c)[4], Site site) {
  const LaneValues rows = exchange(~0u, FragmentA{{a[0], a[1], a[2], a[3]}}, Collective::matrix, site);
  const LaneValues columns = exchange(~0u, FragmentB{{b[0], b[1]}}, Collective::matrix, site);
  const auto element = [](uint32_t bits) { return __uint_as_float(bits & 0xffffe000u); };
  for (int e = 0; e < 4; ++e) {
    const int row = lane() / 4 + 8 * (e / 2), column = lane() % 4 * 2 + e % 2;
    float sum = c[e];
    for (int k = 0; k < 8; ++k) {
      const int holder = k % 4, upper = k / 4;
      const FragmentA from_a = rows.of<FragmentA>(row % 8 * 4 + holder);
      const FragmentB from_b = columns.of<FragmentB>(column * 4 + holder);
      sum += element(from_a.a[row / 8 + 2 * upper]) * element(from_b.b[upper]);
    }
    d[e] = sum;
  }
}

// Count 8 x 8 matrices of 16-bit elements: lane 8 * m + r brings the address of row r of matrix m; every lane gets the
// two elements 2 * (lane % 4) of row lane / 4, of the transposed matrix if Transposed.
template <int Count, bool Transposed>
void load_matrices(uint32_t (&to)[Count], const void* row, Site site) {
  const LaneValues rows = exchange(~0u, row, Collective::matrix, site);
  for (int m = 0; m < Count; ++m) {
    uint16_t pair[2];
    for (int i = 0; i < 2; ++i) {
      const int first = lane() / 4, second = lane() % 4 * 2 + i;
      const int r = Transposed ? second : first, c = Transposed ? first : second;
      const uint16_t* from = static_cast<const uint16_t*>(rows.of<const void*>(8 * m + r));
      if (reinterpret_cast<uintptr_t>(from) % 16) fail("a row for ldmatrix that is not aligned to 16 bytes");
      pair[i] = from[c];
    }
    to[m] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
  }
}

}  // namespace skt::emulation
