// Cosine distance over channels on the CPU, forward and backward, one block of pixels at a time.
//
// Two orders of the same sum, after the layout of the tensors:
//   by pixels    (NCHW and anything else): the vector runs over pixels, the loop over channels is outside;
//   by channels  (both channels_last): the vector runs over the channels of one pixel.
// Every feature is read once a pass. A block's result depends on nothing but the block, so neither does it on threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "feature_map.h"
#include "simd.h"

namespace skt::cosine {

constexpr int64_t kBlock = 512;  // pixels a block: rows of 2 KiB, and all rows of a step stay in the first-level cache
constexpr int64_t kStep = 4;     // channels summed in registers before the running sum is touched

struct Problem {
  int64_t batch, channels, pixels;
  double eps;

  int64_t blocks_per_image() const { return (pixels + kBlock - 1) / kBlock; }
  int64_t blocks() const { return batch * blocks_per_image(); }
};

// Rows of one block of statistics: student . teacher, student . student, teacher . teacher.
template <class T>
struct Statistics {
  T* product;
  T* student;
  T* teacher;
};

template <class T>
struct ConstStatistics {
  const T* product;
  const T* student;
  const T* teacher;
};

// ---- loops over contiguous memory, compiled for several instruction sets ------------------------------------------

template <class T>
SKT_INLINE void add_step_body(
    const T* const* s, const T* const* t, int64_t count, T* SKT_RESTRICT st, T* SKT_RESTRICT ss, T* SKT_RESTRICT tt) {
  const T *s0 = s[0], *s1 = s[1], *s2 = s[2], *s3 = s[3], *t0 = t[0], *t1 = t[1], *t2 = t[2], *t3 = t[3];
  for (int64_t i = 0; i < count; ++i) {
    st[i] += (s0[i] * t0[i] + s1[i] * t1[i]) + (s2[i] * t2[i] + s3[i] * t3[i]);
    ss[i] += (s0[i] * s0[i] + s1[i] * s1[i]) + (s2[i] * s2[i] + s3[i] * s3[i]);
    tt[i] += (t0[i] * t0[i] + t1[i] * t1[i]) + (t2[i] * t2[i] + t3[i] * t3[i]);
  }
}

template <class T>
SKT_INLINE void add_channel_body(
    const T* s, const T* t, int64_t count, T* SKT_RESTRICT st, T* SKT_RESTRICT ss, T* SKT_RESTRICT tt) {
  for (int64_t i = 0; i < count; ++i) {
    st[i] += s[i] * t[i];
    ss[i] += s[i] * s[i];
    tt[i] += t[i] * t[i];
  }
}

template <class T>
SKT_INLINE void sum_channels_body(const T* s, const T* t, int64_t channels, T* out) {
  T st = 0, ss = 0, tt = 0;
#pragma omp simd reduction(+ : st, ss, tt)
  for (int64_t c = 0; c < channels; ++c) {
    st += s[c] * t[c];
    ss += s[c] * s[c];
    tt += t[c] * t[c];
  }
  out[0] = st;
  out[1] = ss;
  out[2] = tt;
}

template <class T>
SKT_INLINE void distance_body(
    const T* st, const T* ss, const T* tt, T eps, int64_t count, T* SKT_RESTRICT distance) {
  for (int64_t i = 0; i < count; ++i) {
    const T s = std::sqrt(ss[i]), t = std::sqrt(tt[i]);
    distance[i] = T(1) - st[i] / ((s > eps ? s : eps) * (t > eps ? t : eps));
  }
}

// The gradient is of_teacher * teacher + of_student * student, with two numbers a pixel.
template <class T>
SKT_INLINE void coefficients_body(
    const T* grad, const T* st, const T* ss, const T* tt, T eps, int64_t count, T* SKT_RESTRICT of_teacher,
    T* SKT_RESTRICT of_student) {
  for (int64_t i = 0; i < count; ++i) {
    const T s = std::sqrt(ss[i]), t = std::sqrt(tt[i]);
    const T scale = grad[i] / ((s > eps ? s : eps) * (t > eps ? t : eps));
    // The clamped norm is constant; a zero vector has no direction, and its gradient is defined as zero.
    of_student[i] = s > eps ? scale * st[i] / ss[i] : T(0);
    of_teacher[i] = ss[i] == T(0) ? T(0) : -scale;
  }
}

template <class T>
SKT_INLINE void combine_pixels_body(
    const T* of_teacher, const T* teacher, const T* of_student, const T* student, int64_t count, T* SKT_RESTRICT out) {
  for (int64_t i = 0; i < count; ++i) out[i] = of_teacher[i] * teacher[i] + of_student[i] * student[i];
}

template <class T>
SKT_INLINE void combine_channels_body(
    T of_teacher, const T* teacher, T of_student, const T* student, int64_t channels, T* SKT_RESTRICT out) {
  for (int64_t c = 0; c < channels; ++c) out[c] = of_teacher * teacher[c] + of_student * student[c];
}

#define SKT_COSINE_LOOPS(T)                                                                                          \
  SKT_SIMD void add_step(const T* const* s, const T* const* t, int64_t count, T* st, T* ss, T* tt) {                 \
    add_step_body(s, t, count, st, ss, tt);                                                                          \
  }                                                                                                                  \
  SKT_SIMD void add_channel(const T* s, const T* t, int64_t count, T* st, T* ss, T* tt) {                            \
    add_channel_body(s, t, count, st, ss, tt);                                                                       \
  }                                                                                                                  \
  SKT_SIMD void sum_channels(const T* s, const T* t, int64_t channels, T* out) {                                     \
    sum_channels_body(s, t, channels, out);                                                                          \
  }                                                                                                                  \
  SKT_SIMD void distances(const T* st, const T* ss, const T* tt, T eps, int64_t count, T* distance) {                \
    distance_body(st, ss, tt, eps, count, distance);                                                                 \
  }                                                                                                                  \
  SKT_SIMD void coefficients(                                                                                        \
      const T* grad, const T* st, const T* ss, const T* tt, T eps, int64_t count, T* of_teacher, T* of_student) {    \
    coefficients_body(grad, st, ss, tt, eps, count, of_teacher, of_student);                                         \
  }                                                                                                                  \
  SKT_SIMD void combine_pixels(                                                                                      \
      const T* of_teacher, const T* teacher, const T* of_student, const T* student, int64_t count, T* out) {         \
    combine_pixels_body(of_teacher, teacher, of_student, student, count, out);                                       \
  }                                                                                                                  \
  SKT_SIMD void combine_channels(                                                                                    \
      T of_teacher, const T* teacher, T of_student, const T* student, int64_t channels, T* out) {                    \
    combine_channels_body(of_teacher, teacher, of_student, student, channels, out);                                  \
  }

namespace {
SKT_COSINE_LOOPS(float)
SKT_COSINE_LOOPS(double)
}  // namespace
#undef SKT_COSINE_LOOPS

// ---- one block ---------------------------------------------------------------------------------------------------

template <class T>
void forward_by_pixels(
    const FeatureMap& student, const FeatureMap& teacher, const Problem& problem, int64_t n, int64_t begin, int64_t end,
    Statistics<T> out) {
  const int64_t count = end - begin;
  std::fill_n(out.product, count, T(0));
  std::fill_n(out.student, count, T(0));
  std::fill_n(out.teacher, count, T(0));
  T scratch[2][kStep][kBlock];
  const T *s[kStep], *t[kStep];
  int64_t c = 0;
  for (; c + kStep <= problem.channels; c += kStep) {
    for (int64_t i = 0; i < kStep; ++i) {
      s[i] = load_pixels(student, n, c + i, begin, end, scratch[0][i]);
      t[i] = load_pixels(teacher, n, c + i, begin, end, scratch[1][i]);
    }
    add_step(s, t, count, out.product, out.student, out.teacher);
  }
  for (; c < problem.channels; ++c) {
    const T* one_s = load_pixels(student, n, c, begin, end, scratch[0][0]);
    const T* one_t = load_pixels(teacher, n, c, begin, end, scratch[1][0]);
    add_channel(one_s, one_t, count, out.product, out.student, out.teacher);
  }
}

template <class T>
void forward_by_channels(
    const FeatureMap& student, const FeatureMap& teacher, const Problem& problem, int64_t n, int64_t begin, int64_t end,
    Statistics<T> out) {
  std::vector<T> scratch(2 * problem.channels);
  for (int64_t p = begin; p < end; ++p) {
    const T* s = load_channels(student, n, p, problem.channels, scratch.data());
    const T* t = load_channels(teacher, n, p, problem.channels, scratch.data() + problem.channels);
    T sums[3];
    sum_channels(s, t, problem.channels, sums);
    out.product[p - begin] = sums[0];
    out.student[p - begin] = sums[1];
    out.teacher[p - begin] = sums[2];
  }
}

template <class T>
void backward_by_pixels(
    const T* of_teacher, const T* of_student, const FeatureMap& student, const FeatureMap& teacher,
    const FeatureMap& out, const Problem& problem, int64_t n, int64_t begin, int64_t end) {
  T scratch[3][kBlock];
  for (int64_t c = 0; c < problem.channels; ++c) {
    const T* s = load_pixels(student, n, c, begin, end, scratch[0]);
    const T* t = load_pixels(teacher, n, c, begin, end, scratch[1]);
    combine_pixels(of_teacher, t, of_student, s, end - begin, scratch[2]);
    store_pixels(scratch[2], out, n, c, begin, end);
  }
}

template <class T>
void backward_by_channels(
    const T* of_teacher, const T* of_student, const FeatureMap& student, const FeatureMap& teacher,
    const FeatureMap& out, const Problem& problem, int64_t n, int64_t begin, int64_t end) {
  const int64_t channels = problem.channels;
  std::vector<T> scratch(3 * channels);
  T* result = scratch.data() + 2 * channels;
  for (int64_t p = begin; p < end; ++p) {
    const T* s = load_channels(student, n, p, channels, scratch.data());
    const T* t = load_channels(teacher, n, p, channels, scratch.data() + channels);
    combine_channels(of_teacher[p - begin], t, of_student[p - begin], s, channels, result);
    narrow_row(out.storage, result, channels, out.data, out.pixel(n, p), 1);
  }
}

// ---- blocks [first, last) of the whole problem -------------------------------------------------------------------

// distance (N, P) and statistics (N, 3, P), dense, are written.
template <class T>
void forward(
    const FeatureMap& student, const FeatureMap& teacher, const Problem& problem, int64_t first, int64_t last,
    T* distance, T* statistics) {
  const bool by_channels = student.stride_c == 1 && teacher.stride_c == 1 && problem.channels > 1;
  for (int64_t block = first; block < last; ++block) {
    const int64_t n = block / problem.blocks_per_image();
    const int64_t begin = block % problem.blocks_per_image() * kBlock;
    const int64_t end = std::min(begin + kBlock, problem.pixels);
    T* rows = statistics + n * 3 * problem.pixels + begin;
    const Statistics<T> out{rows, rows + problem.pixels, rows + 2 * problem.pixels};
    (by_channels ? forward_by_channels<T> : forward_by_pixels<T>)(student, teacher, problem, n, begin, end, out);
    distances(out.product, out.student, out.teacher, static_cast<T>(problem.eps), end - begin,
              distance + n * problem.pixels + begin);
  }
}

// grad is (N, 1, H, W) with any strides, zero among them; out, as large as the student, is written.
template <class T>
void backward(
    const FeatureMap& grad, const FeatureMap& student, const FeatureMap& teacher, const T* statistics,
    const FeatureMap& out, const Problem& problem, int64_t first, int64_t last) {
  const bool by_channels =
      student.stride_c == 1 && teacher.stride_c == 1 && out.stride_c == 1 && problem.channels > 1;
  T scratch[kBlock], of_teacher[kBlock], of_student[kBlock];
  for (int64_t block = first; block < last; ++block) {
    const int64_t n = block / problem.blocks_per_image();
    const int64_t begin = block % problem.blocks_per_image() * kBlock;
    const int64_t end = std::min(begin + kBlock, problem.pixels);
    const T* rows = statistics + n * 3 * problem.pixels + begin;
    const T* g = load_pixels(grad, n, 0, begin, end, scratch);
    coefficients(g, rows, rows + problem.pixels, rows + 2 * problem.pixels, static_cast<T>(problem.eps), end - begin,
                 of_teacher, of_student);
    (by_channels ? backward_by_channels<T> : backward_by_pixels<T>)(
        of_teacher, of_student, student, teacher, out, problem, n, begin, end);
  }
}

}  // namespace skt::cosine
