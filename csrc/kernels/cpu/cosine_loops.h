// The inner loops of the cosine distance on the CPU, compiled for several instruction sets.
#pragma once

#include <cmath>
#include <cstdint>

#include "large_memory.h"
#include "simd.h"

namespace skt::cosine {

// Pixels next to each other in memory, `channels` apart by a stride: how a block of a channels_last map lies.
template <class T>
struct Pixels {
  const T* data;
  int64_t stride;
};

// ---- by pixels ---------------------------------------------------------------------------------------------------

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
SKT_INLINE void combine_pixels_body(
    const T* of_teacher, const T* teacher, const T* of_student, const T* student, int64_t count, T* SKT_RESTRICT out) {
  for (int64_t i = 0; i < count; ++i) out[i] = of_teacher[i] * teacher[i] + of_student[i] * student[i];
}

// ---- by channels -------------------------------------------------------------------------------------------------

template <class T>
SKT_INLINE void sum_channels_body(
    Pixels<T> s, Pixels<T> t, int64_t channels, int64_t count, T* SKT_RESTRICT st, T* SKT_RESTRICT ss,
    T* SKT_RESTRICT tt) {
  for (int64_t p = 0; p < count; ++p) {
    const T *sp = s.data + p * s.stride, *tp = t.data + p * t.stride;
    T product = 0, student = 0, teacher = 0;
#pragma omp simd reduction(+ : product, student, teacher)
    for (int64_t c = 0; c < channels; ++c) {
      product += sp[c] * tp[c];
      student += sp[c] * sp[c];
      teacher += tp[c] * tp[c];
    }
    st[p] = product;
    ss[p] = student;
    tt[p] = teacher;
  }
}

template <class T>
SKT_INLINE void combine_channels_body(
    const T* of_teacher, Pixels<T> teacher, const T* of_student, Pixels<T> student, int64_t channels, int64_t count,
    T* SKT_RESTRICT out) {
  for (int64_t p = 0; p < count; ++p) {
    const T *sp = student.data + p * student.stride, *tp = teacher.data + p * teacher.stride;
    const T a = of_teacher[p], b = of_student[p];
    for (int64_t c = 0; c < channels; ++c) out[p * channels + c] = a * tp[c] + b * sp[c];
  }
}

// ---- a pixel's numbers -------------------------------------------------------------------------------------------

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
SKT_INLINE double total_body(const T* values, int64_t count) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(values[i]);
  return sum;
}

#define SKT_COSINE_LOOPS(T)                                                                                          \
  SKT_SIMD void add_step(const T* const* s, const T* const* t, int64_t count, T* st, T* ss, T* tt) {                 \
    add_step_body(s, t, count, st, ss, tt);                                                                          \
  }                                                                                                                  \
  SKT_SIMD void add_channel(const T* s, const T* t, int64_t count, T* st, T* ss, T* tt) {                            \
    add_channel_body(s, t, count, st, ss, tt);                                                                       \
  }                                                                                                                  \
  SKT_SIMD void combine_pixels(                                                                                      \
      const T* of_teacher, const T* teacher, const T* of_student, const T* student, int64_t count, T* out) {         \
    combine_pixels_body(of_teacher, teacher, of_student, student, count, out);                                       \
  }                                                                                                                  \
  SKT_SIMD void sum_channels(                                                                                        \
      Pixels<T> s, Pixels<T> t, int64_t channels, int64_t count, T* st, T* ss, T* tt) {                              \
    sum_channels_body(s, t, channels, count, st, ss, tt);                                                            \
  }                                                                                                                  \
  SKT_SIMD void combine_channels(                                                                                    \
      const T* of_teacher, Pixels<T> teacher, const T* of_student, Pixels<T> student, int64_t channels,              \
      int64_t count, T* out) {                                                                                       \
    combine_channels_body(of_teacher, teacher, of_student, student, channels, count, out);                           \
  }                                                                                                                  \
  SKT_SIMD void distances(const T* st, const T* ss, const T* tt, T eps, int64_t count, T* distance) {                \
    distance_body(st, ss, tt, eps, count, distance);                                                                 \
  }                                                                                                                  \
  SKT_SIMD void coefficients(                                                                                        \
      const T* grad, const T* st, const T* ss, const T* tt, T eps, int64_t count, T* of_teacher, T* of_student) {    \
    coefficients_body(grad, st, ss, tt, eps, count, of_teacher, of_student);                                         \
  }                                                                                                                  \
  SKT_SIMD double total(const T* values, int64_t count) { return total_body(values, count); }

namespace {
SKT_COSINE_LOOPS(float)
SKT_COSINE_LOOPS(double)
}  // namespace
#undef SKT_COSINE_LOOPS

}  // namespace skt::cosine
