// Matrix products of tiles that stay in the caches, on the CPU: C = init + A B, then perhaps a ReLU, and C += A B'.
//
// A block of kRows x (kVectors vectors) of C stays in registers while the loop runs over K; a row of B is read as
// vectors, an element of A is broadcast. How many rows and vectors fit depends on the instruction set.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#include "../divide_up.h"
#include "simd.h"

namespace skt::small_gemm {

constexpr int64_t kVectorBytes = 64;

// N must be a multiple of this; that many elements of B's and C's rows are read and written.
template <class T>
constexpr int64_t kLanes = kVectorBytes / static_cast<int64_t>(sizeof(T));

template <class T>
constexpr int64_t padded(int64_t count) {
  return divide_up(count, kLanes<T>) * kLanes<T>;
}

// Elements between rows of a tile of `count` columns: an odd number of vectors, because rows that are a power of two
// apart would all use the same few lines of the first-level cache.
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
  int64_t b_k;  // stride of B's rows; its columns are adjacent
  T* c;
  int64_t c_m;
  const T* init;  // null: zero. init[m * init_m + n] if init_n, else init[m * init_m]. May be C itself
  int64_t init_m;
  bool init_n;
  bool relu;
};

// `InMemory` is aligned as its elements are. (memcpy would keep the blocks below in memory, not in registers.)
template <class T, int kBytes>
struct VectorOf {
  typedef T type __attribute__((vector_size(kBytes)));
  typedef T InMemory __attribute__((vector_size(kBytes), aligned(alignof(T)), may_alias));

  // By reference: how a vector is passed by value depends on the registers of the instruction set.
  static SKT_INLINE void load(const T* from, type& to) { to = *reinterpret_cast<const InMemory*>(from); }
  static SKT_INLINE void store(T* to, const type& value) { *reinterpret_cast<InMemory*>(to) = value; }
};

template <class T, int kRows, int kVectors>
SKT_INLINE void multiply_block(const Product<T>& p, int64_t m, int64_t n) {
  using Memory = VectorOf<T, kVectorBytes>;
  using Vector = typename Memory::type;
  Vector sum[kRows][kVectors];
  const T* init = p.init + m * p.init_m;
  if (p.init == nullptr) {
    for (int i = 0; i < kRows; ++i) {
      for (int j = 0; j < kVectors; ++j) sum[i][j] = Vector{};
    }
  } else if (p.init_n) {
    for (int i = 0; i < kRows; ++i) {
      for (int j = 0; j < kVectors; ++j) Memory::load(init + i * p.init_m + n + j * kLanes<T>, sum[i][j]);
    }
  } else {
    for (int i = 0; i < kRows; ++i) {
      for (int j = 0; j < kVectors; ++j) sum[i][j] = Vector{} + init[i * p.init_m];
    }
  }
  const T* a = p.a + m * p.a_m;
  const T* b = p.b + n;
  for (int64_t k = 0; k < p.k; ++k) {
    Vector row[kVectors];
    for (int j = 0; j < kVectors; ++j) Memory::load(b + k * p.b_k + j * kLanes<T>, row[j]);
    for (int i = 0; i < kRows; ++i) {
      const T element = a[i * p.a_m + k * p.a_k];
      for (int j = 0; j < kVectors; ++j) sum[i][j] += element * row[j];
    }
  }
  const Vector lowest = Vector{} + (p.relu ? T(0) : -std::numeric_limits<T>::infinity());
  T* c = p.c + m * p.c_m + n;
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      Memory::store(c + i * p.c_m + j * kLanes<T>, sum[i][j] < lowest ? lowest : sum[i][j]);
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

// C += A B' over long rows: A (m, k), B (n, k), k a multiple of kLanes.
template <class T>
struct RowProducts {
  int64_t m, n, k;
  const T* a;
  int64_t a_m;
  const T* b;
  int64_t b_n;
  T* c;
  int64_t c_m;
};

// values[0, 2 kCount) become the sums of neighbours, and so on until kLast are left.
template <int kCount, int kLast, class T>
SKT_INLINE void add_pairs(T* values) {
  T sums[kCount];
  for (int i = 0; i < kCount; ++i) sums[i] = values[2 * i] + values[2 * i + 1];
  std::memcpy(values, sums, sizeof(sums));
  if constexpr (kCount > kLast) add_pairs<kCount / 2, kLast>(values);
}

// As many products at once as a vector has lanes, each a vector of partial sums; at the end their lanes are added in
// pairs until one number is left of each.
template <class T, int kBytes>
SKT_INLINE void add_row_products_of(const RowProducts<T>& p, int64_t m, int64_t n, int64_t begin, int64_t end) {
  using Memory = VectorOf<T, kBytes>;
  using Vector = typename Memory::type;
  constexpr int kWidth = kBytes / sizeof(T), kRows = kWidth >= 8 ? 4 : 2, kColumns = kWidth / kRows;
  const T *a[kRows], *b[kColumns];
  for (int i = 0; i < kRows; ++i) a[i] = p.a + (m + i < p.m ? m + i : m) * p.a_m;
  for (int j = 0; j < kColumns; ++j) b[j] = p.b + (n + j < p.n ? n + j : n) * p.b_n;
  Vector sum[kRows][kColumns] = {};
  for (int64_t k = begin; k < end; k += kWidth) {
    Vector right[kColumns];
    for (int j = 0; j < kColumns; ++j) Memory::load(b[j] + k, right[j]);
    for (int i = 0; i < kRows; ++i) {
      Vector left;
      Memory::load(a[i] + k, left);
      for (int j = 0; j < kColumns; ++j) sum[i][j] += left * right[j];
    }
  }
  T lanes[kWidth * kWidth];
  std::memcpy(lanes, sum, sizeof(sum));
  add_pairs<kWidth * kWidth / 2, kWidth>(lanes);
  for (int i = 0; i < kRows && m + i < p.m; ++i) {
    for (int j = 0; j < kColumns && n + j < p.n; ++j) p.c[(m + i) * p.c_m + n + j] += lanes[i * kColumns + j];
  }
}

template <class T>
struct AddRowProducts {
  template <Level level>
  static SKT_INLINE void run(const RowProducts<T>* p) {
    constexpr int kBytes = level == Level::v4 ? 64 : level == Level::v3 ? 32 : 16;
    constexpr int kWidth = kBytes / sizeof(T), kRows = kWidth >= 8 ? 4 : 2, kColumns = kWidth / kRows;
    constexpr int64_t kChunk = 512;  // elements of the rows that stay in the first-level cache
    for (int64_t k = 0; k < p->k; k += kChunk) {
      const int64_t end = k + kChunk < p->k ? k + kChunk : p->k;
      for (int64_t m = 0; m < p->m; m += kRows) {
        for (int64_t n = 0; n < p->n; n += kColumns) add_row_products_of<T, kBytes>(*p, m, n, k, end);
      }
    }
  }
};

template <class T>
void add_row_products(const RowProducts<T>& products) {
  run_at_best_level<AddRowProducts<T>>(&products);
}

}  // namespace skt::small_gemm
