#include "cosine_loops.h"

#include <cmath>

#include "simd.h"

namespace skt::cosine {

template <class T>
SKT_SIMD void add_step(const T* const* s, const T* const* t, int64_t count, T* SKT_RESTRICT product,
                       T* SKT_RESTRICT student, T* SKT_RESTRICT teacher) {
  static_assert(kStep == 4);
  const T *s0 = s[0], *s1 = s[1], *s2 = s[2], *s3 = s[3], *t0 = t[0], *t1 = t[1], *t2 = t[2], *t3 = t[3];
  for (int64_t i = 0; i < count; ++i) {
    product[i] += (s0[i] * t0[i] + s1[i] * t1[i]) + (s2[i] * t2[i] + s3[i] * t3[i]);
    student[i] += (s0[i] * s0[i] + s1[i] * s1[i]) + (s2[i] * s2[i] + s3[i] * s3[i]);
    teacher[i] += (t0[i] * t0[i] + t1[i] * t1[i]) + (t2[i] * t2[i] + t3[i] * t3[i]);
  }
}

template <class T>
SKT_SIMD void add_channel(const T* s, const T* t, int64_t count, T* SKT_RESTRICT product, T* SKT_RESTRICT student,
                          T* SKT_RESTRICT teacher) {
  for (int64_t i = 0; i < count; ++i) {
    product[i] += s[i] * t[i];
    student[i] += s[i] * s[i];
    teacher[i] += t[i] * t[i];
  }
}

template <class T>
SKT_SIMD void combine_pixels(const T* of_teacher, const T* teacher, const T* of_student, const T* student,
                             int64_t count, T* SKT_RESTRICT out) {
  for (int64_t i = 0; i < count; ++i) out[i] = of_teacher[i] * teacher[i] + of_student[i] * student[i];
}

template <class T>
SKT_SIMD void sum_channels(Pixels<T> s, Pixels<T> t, int64_t channels, int64_t count, T* SKT_RESTRICT product,
                           T* SKT_RESTRICT student, T* SKT_RESTRICT teacher) {
  for (int64_t p = 0; p < count; ++p) {
    const T *sp = s.data + p * s.stride, *tp = t.data + p * t.stride;
    T st = 0, ss = 0, tt = 0;
#pragma omp simd reduction(+ : st, ss, tt)
    for (int64_t c = 0; c < channels; ++c) {
      st += sp[c] * tp[c];
      ss += sp[c] * sp[c];
      tt += tp[c] * tp[c];
    }
    product[p] = st;
    student[p] = ss;
    teacher[p] = tt;
  }
}

template <class T>
SKT_SIMD void combine_channels(const T* of_teacher, Pixels<T> teacher, const T* of_student, Pixels<T> student,
                               int64_t channels, int64_t count, T* SKT_RESTRICT out) {
  for (int64_t p = 0; p < count; ++p) {
    const T *sp = student.data + p * student.stride, *tp = teacher.data + p * teacher.stride;
    const T a = of_teacher[p], b = of_student[p];
    for (int64_t c = 0; c < channels; ++c) out[p * channels + c] = a * tp[c] + b * sp[c];
  }
}

// max(norm, eps), and NaN for NaN.
template <class T>
SKT_INLINE T clamped(T norm, T eps) {
  return norm < eps ? eps : norm;
}

template <class T>
SKT_SIMD void distances(const T* product, const T* student, const T* teacher, T eps, int64_t count,
                        T* SKT_RESTRICT distance) {
  for (int64_t i = 0; i < count; ++i) {
    const T s = std::sqrt(student[i]), t = std::sqrt(teacher[i]);
    distance[i] = T(1) - product[i] / (clamped(s, eps) * clamped(t, eps));
  }
}

template <class T>
SKT_SIMD void coefficients(const T* grad, const T* product, const T* student, const T* teacher, T eps, int64_t count,
                           T* SKT_RESTRICT of_teacher, T* SKT_RESTRICT of_student) {
  for (int64_t i = 0; i < count; ++i) {
    const T s = std::sqrt(student[i]), t = std::sqrt(teacher[i]);
    const T scale = grad[i] / (clamped(s, eps) * clamped(t, eps));
    // The clamped norm is constant; a zero vector has no direction, and its gradient is defined as zero.
    of_student[i] = s > eps ? scale * product[i] / student[i] : T(0);
    of_teacher[i] = student[i] == T(0) ? T(0) : -scale;
  }
}

template <class T>
SKT_SIMD double total(const T* values, int64_t count) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(values[i]);
  return sum;
}

#define SKT_INSTANTIATE(T)                                                                        \
  template void add_step(const T* const*, const T* const*, int64_t, T*, T*, T*);                  \
  template void add_channel(const T*, const T*, int64_t, T*, T*, T*);                             \
  template void combine_pixels(const T*, const T*, const T*, const T*, int64_t, T*);              \
  template void sum_channels(Pixels<T>, Pixels<T>, int64_t, int64_t, T*, T*, T*);                 \
  template void combine_channels(const T*, Pixels<T>, const T*, Pixels<T>, int64_t, int64_t, T*); \
  template void distances(const T*, const T*, const T*, T, int64_t, T*);                          \
  template void coefficients(const T*, const T*, const T*, const T*, T, int64_t, T*, T*);         \
  template double total(const T*, int64_t)

SKT_INSTANTIATE(float);
SKT_INSTANTIATE(double);

}  // namespace skt::cosine
