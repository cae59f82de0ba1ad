#include "embedding_loops.h"

#include "simd.h"

namespace skt::embedding {

template <class T>
SKT_SIMD void combine_pixels(const T* of_teacher, const T* teacher, const T* of_hidden, const T* hidden, T lowest,
                             int64_t count, T* SKT_RESTRICT out) {
  for (int64_t i = 0; i < count; ++i) {
    const T value = of_teacher[i] * teacher[i] + of_hidden[i] * hidden[i];
    out[i] = hidden[i] <= lowest ? T(0) : value;
  }
}

template <class T>
SKT_SIMD void combine_channels(const T* of_teacher, cosine::Pixels<T> teacher, const T* of_hidden,
                               cosine::Pixels<T> hidden, T lowest, int64_t channels, int64_t count,
                               T* SKT_RESTRICT out) {
  for (int64_t p = 0; p < count; ++p) {
    const T *t = teacher.data + p * teacher.stride, *h = hidden.data + p * hidden.stride;
    T* to = out + p * hidden.stride;
    const T a = of_teacher[p], b = of_hidden[p];
    for (int64_t c = 0; c < channels; ++c) {
      const T value = a * t[c] + b * h[c];
      to[c] = h[c] <= lowest ? T(0) : value;
    }
  }
}

template <class T>
SKT_SIMD void add_passed(const T* pooled, const T* hidden, T lowest, int64_t count, T* SKT_RESTRICT gradient) {
  for (int64_t i = 0; i < count; ++i) gradient[i] += hidden[i] <= lowest ? T(0) : pooled[i];
}

template <class T>
SKT_SIMD void add_rows(const T* rows, int64_t stride, int64_t count, int64_t columns, double* SKT_RESTRICT sums) {
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t c = 0; c < columns; ++c) sums[c] += static_cast<double>(rows[r * stride + c]);
  }
}

#define SKT_INSTANTIATE(T)                                                                                           \
  template void combine_pixels(const T*, const T*, const T*, const T*, T, int64_t, T*);                              \
  template void combine_channels(const T*, cosine::Pixels<T>, const T*, cosine::Pixels<T>, T, int64_t, int64_t, T*); \
  template void add_passed(const T*, const T*, T, int64_t, T*);                                                      \
  template void add_rows(const T*, int64_t, int64_t, int64_t, double*)

SKT_INSTANTIATE(float);
SKT_INSTANTIATE(double);

}  // namespace skt::embedding
