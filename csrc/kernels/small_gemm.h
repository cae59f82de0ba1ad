// Matrix products of tiles that stay in the caches, on the CPU: C = init + A B, then perhaps a ReLU.
//
// A block of kRows x (kVectors vectors) of C stays in registers while the loop runs over K; a row of B is read as
// vectors, an element of A is broadcast. How many rows and vectors fit depends on the instruction set.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd.h"

namespace skt::small_gemm {

constexpr int64_t kVectorBytes = 64;

// N has to be a multiple of this, and so many elements of B's and C's rows may be read and written.
template <class T>
constexpr int64_t kLanes = kVectorBytes / static_cast<int64_t>(sizeof(T));

template <class T>
constexpr int64_t padded(int64_t count) {
  return (count + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}

// Elements between rows of a tile of `count` columns: an odd number of vectors, for rows a power of two apart would
// all fall into the same few lines of the first-level cache.
template <class T>
constexpr int64_t row_stride(int64_t count) {
  return padded<T>(count) | kLanes<T>;
}

template <class T>
struct Product {
  int64_t m, n, k;
  const T* a;
  int64_t a_m, a_k;  // strides of A: any
  const T* b;
  int64_t b_k;       // stride of B's rows; its columns are adjacent
  T* c;
  int64_t c_m;
  const T* init;     // null: zero. init[m * init_m + n] if init_n, else init[m * init_m]. May be C itself
  int64_t init_m;
  bool init_n;
  bool relu;
};

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
};

template <class T, int kRows, int kVectors>
SKT_INLINE void multiply_block(const Product<T>& p, int64_t m, int64_t n) {
  using Vector = typename VectorOf<T>::type;
  Vector sum[kRows][kVectors];
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      if (p.init == nullptr) {
        sum[i][j] = Vector{};
      } else if (p.init_n) {
        std::memcpy(&sum[i][j], p.init + (m + i) * p.init_m + n + j * kLanes<T>, sizeof(Vector));
      } else {
        sum[i][j] = Vector{} + p.init[(m + i) * p.init_m];
      }
    }
  }
  const T* a = p.a + m * p.a_m;
  const T* b = p.b + n;
  for (int64_t k = 0; k < p.k; ++k) {
    Vector row[kVectors];
    for (int j = 0; j < kVectors; ++j) std::memcpy(&row[j], b + k * p.b_k + j * kLanes<T>, sizeof(Vector));
    for (int i = 0; i < kRows; ++i) {
      const T element = a[i * p.a_m + k * p.a_k];
      for (int j = 0; j < kVectors; ++j) sum[i][j] += element * row[j];
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      if (p.relu) sum[i][j] = sum[i][j] < T(0) ? Vector{} : sum[i][j];
      std::memcpy(p.c + (m + i) * p.c_m + n + j * kLanes<T>, &sum[i][j], sizeof(Vector));
    }
  }
}

template <class T, int kRows, int kVectors>
SKT_INLINE void multiply_columns(const Product<T>& p, int64_t n) {
  int64_t m = 0;
  for (; m + kRows <= p.m; m += kRows) multiply_block<T, kRows, kVectors>(p, m, n);
  for (; m + 2 <= p.m; m += 2) multiply_block<T, 2, kVectors>(p, m, n);
  for (; m < p.m; ++m) multiply_block<T, 1, kVectors>(p, m, n);
}

template <class T, int kRows, int kVectors>
SKT_INLINE void multiply_all(const Product<T>& p) {
  int64_t n = 0;
  for (; n + kVectors * kLanes<T> <= p.n; n += kVectors * kLanes<T>) multiply_columns<T, kRows, kVectors>(p, n);
  for (; n < p.n; n += kLanes<T>) multiply_columns<T, kRows, 1>(p, n);
}

template <class T>
struct Multiply {
  template <Level level>
  static SKT_INLINE void run(const Product<T>* p) {
    if constexpr (level == Level::v4) {
      multiply_all<T, 8, 2>(*p);
    } else {
      multiply_all<T, level == Level::v3 ? 4 : 2, 1>(*p);
    }
  }
};

template <class T>
void multiply(const Product<T>& product) {
  run_at_best_level<Multiply<T>>(&product);
}

}  // namespace skt::small_gemm
