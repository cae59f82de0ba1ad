// The inner loops of the embedding h = ReLU(W s + b) and its gradient on the CPU, for float and double. The ReLU has
// let nothing through where h <= lowest, which holds for no h where `lowest` is NaN.
#pragma once

#include "cosine_loops.h"

namespace skt::embedding {

// The gradient of h from the cosine distance: of_teacher * t + of_hidden * h, or 0 where h <= lowest.
template <class T>
void combine_pixels(const T* of_teacher, const T* teacher, const T* of_hidden, const T* hidden, T lowest, int64_t count,
                    T* out);

// The same by channels; out has the strides of `hidden`.
template <class T>
void combine_channels(const T* of_teacher, cosine::Pixels<T> teacher, const T* of_hidden, cosine::Pixels<T> hidden,
                      T lowest, int64_t channels, int64_t count, T* out);

// The gradient of h where windows have one pixel: `pooled` is added where h > lowest.
template <class T>
void add_passed(const T* pooled, const T* hidden, T lowest, int64_t count, T* gradient);

// sums[c] += the sum over the rows of a tile, in double, for many tiles follow.
template <class T>
void add_rows(const T* rows, int64_t stride, int64_t count, int64_t columns, double* sums);

}  // namespace skt::embedding
