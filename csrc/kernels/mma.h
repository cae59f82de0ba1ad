// The tensor core's product of a warp, D (16 x 8) = A (16 x Depth) B (Depth x 8) + C with sums in float32, and the loads of
// its operands. A is row major, B column major ("row.col"). Lane l holds
//
//   d[e]  D(l / 4 + 8 * (e / 2), 2 * (l % 4) + e % 2)                                          e = 0..3, C the same
//   a[i]  Depth 16: A(l / 4 + 8 * (i % 2), 2 * (l % 4) + 8 * (i / 2) + {0, 1}), low half first    i = 0..3
//   b[i]  Depth 16: B(2 * (l % 4) + 8 * i + {0, 1}, l / 4), low half first                         i = 0..1
//   a[i]  Depth 8:  A(l / 4 + 8 * (i % 2), l % 4 + 4 * (i / 2))
//   b[i]  Depth 8:  B(l % 4 + 4 * i, l / 4)
//
// (PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type" and "... mma.m16n8k8"). All lanes of the warp take
// part. sm_80 and later: on sm_75 a call traps, and the host must choose another kernel.
#pragma once

#include "gpu.h"

// The place of a call, for the emulation's messages.
#ifdef SKT_EMULATION
#define SKT_SITE , ::skt::emulation::Site site = ::skt::emulation::Site::here()
#else
#define SKT_SITE
#endif

namespace skt::gpu {

// Element: __half or __nv_bfloat16.
template <class Element>
__device__ inline void mma_m16n8k16(
    float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const float (&c)[4] SKT_SITE) {
  static_assert(std::is_same_v<Element, __half> || std::is_same_v<Element, __nv_bfloat16>);
#ifdef SKT_EMULATION
  emulation::mma_m16n8k16<Element>(d, a, b, c, site);
#elif __CUDA_ARCH__ >= 800
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
__device__ inline void mma_m16n8k8_tf32(
    float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const float (&c)[4] SKT_SITE) {
#ifdef SKT_EMULATION
  emulation::mma_m16n8k8_tf32(d, a, b, c, site);
#elif __CUDA_ARCH__ >= 800
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
#ifdef SKT_EMULATION
  const uint32_t bits = __float_as_uint(value);
  const bool finite = (bits & 0x7f800000u) != 0x7f800000u;
  return finite ? (bits + 0x1000u) & 0xffffe000u : bits;
#elif __CUDA_ARCH__ >= 800
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
#else
  return __float_as_uint(value);
#endif
}

// ldmatrix: Count (1, 2 or 4) matrices of 8 x 8 elements of 16 bits from shared memory. Lane 8 * m + r gives the address of
// row r of matrix m (a multiple of 16 bytes); lane l gets of each matrix the elements (l / 4, 2 * (l % 4) + {0, 1}), of its
// transpose if Transposed.
template <bool Transposed, int Count>
__device__ inline void load_matrices(uint32_t (&to)[Count], const void* row SKT_SITE) {
  static_assert(Count == 1 || Count == 2 || Count == 4);
#ifdef SKT_EMULATION
  emulation::load_matrices<Count, Transposed>(to, row, site);
#else
  const unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (Count == 1 && !Transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(to[0]) : "r"(from) : "memory");
  } else if constexpr (Count == 1) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(to[0]) : "r"(from) : "memory");
  } else if constexpr (Count == 2 && !Transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(to[0]), "=r"(to[1]) : "r"(from) : "memory");
  } else if constexpr (Count == 2) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(to[0]), "=r"(to[1]) : "r"(from) : "memory");
  } else if constexpr (!Transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(from) : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(from) : "memory");
  }
#endif
}

}  // namespace skt::gpu

#undef SKT_SITE
