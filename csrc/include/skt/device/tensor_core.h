// The tensor core's product of a warp, D (16 x 8) = A (16 x Depth) B (Depth x 8) + C with sums in float32. A build of
// the emulation finds a header of this name in csrc/emulation/include first.
//
// A is row major, B column major ("row.col"). Lane l holds
//
//   d[e]  D(l / 4 + 8 * (e / 2), 2 * (l % 4) + e % 2)                                          e = 0..3, C the same
//   a[i]  Depth 16: A(l / 4 + 8 * (i % 2), 2 * (l % 4) + 8 * (i / 2) + {0, 1}), low half first    i = 0..3
//   b[i]  Depth 16: B(2 * (l % 4) + 8 * i + {0, 1}, l / 4), low half first                         i = 0..1
//   a[i]  Depth 8:  A(l / 4 + 8 * (i % 2), l % 4 + 4 * (i / 2))
//   b[i]  Depth 8:  B(l % 4 + 4 * i, l / 4)
//
// (PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type" and "... mma.m16n8k8"). All lanes of the warp
// take part. sm_80 and later: on sm_75 a call traps, and the host must choose another kernel.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace skt::gpu {

// Element: __half or __nv_bfloat16.
template <class Element>
__device__ inline void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                                    const float (&c)[4]) {
  static_assert(std::is_same_v<Element, __half> || std::is_same_v<Element, __nv_bfloat16>);
#if __CUDA_ARCH__ >= 800
  if constexpr (std::is_same_v<Element, __half>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
  }
#else
  __trap();
#endif
}

// Operands are float32 bits, rounded by to_tf32 beforehand (the unit would cut the lower 13 bits off).
__device__ inline void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                                        const float (&c)[4]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
#else
  __trap();
#endif
}

// To the nearest number with ten bits of mantissa, ties away from zero.
__device__ inline uint32_t to_tf32(float value) {
#if __CUDA_ARCH__ >= 800
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
#else
  return __float_as_uint(value);
#endif
}

}  // namespace skt::gpu
