// The inner loops of the cosine distance on the CPU, for float and double.
//
// A pixel's three sums over its channels are `product` (student * teacher), `student` (its square) and `teacher` (its
// square).
#pragma once

#include <cstdint>

namespace skt::cosine {

constexpr int64_t kStep = 4;  // channels summed in registers before the running sums are touched

// Pixels next to each other in memory, each with its channels side by side, `stride` elements apart.
template <class T>
struct Pixels {
  const T* data;
  int64_t stride;
};

// ---- by pixels: the vector runs over pixels ------------------------------------------------------------------------

// Adds kStep channels, s[0] to s[kStep - 1] and t[0] to t[kStep - 1], to the sums of `count` pixels.
template <class T>
void add_step(const T* const* s, const T* const* t, int64_t count, T* product, T* student, T* teacher);

// Adds one channel.
template <class T>
void add_channel(const T* s, const T* t, int64_t count, T* product, T* student, T* teacher);

// out = of_teacher * teacher + of_student * student for one channel.
template <class T>
void combine_pixels(const T* of_teacher, const T* teacher, const T* of_student, const T* student, int64_t count,
                    T* out);

// ---- by channels: the vector runs over the channels of one pixel ---------------------------------------------------

// The sums of `count` pixels.
template <class T>
void sum_channels(Pixels<T> s, Pixels<T> t, int64_t channels, int64_t count, T* product, T* student, T* teacher);

// out = of_teacher * teacher + of_student * student for `count` pixels, dense.
template <class T>
void combine_channels(const T* of_teacher, Pixels<T> teacher, const T* of_student, Pixels<T> student, int64_t channels,
                      int64_t count, T* out);

// ---- from a pixel's sums -------------------------------------------------------------------------------------------

template <class T>
void distances(const T* product, const T* student, const T* teacher, T eps, int64_t count, T* distance);

// The gradient of grad * distance is of_teacher * teacher + of_student * student, with two numbers per pixel.
template <class T>
void coefficients(const T* grad, const T* product, const T* student, const T* teacher, T eps, int64_t count,
                  T* of_teacher, T* of_student);

// The sum of `count` values, in double.
template <class T>
double total(const T* values, int64_t count);

}  // namespace skt::cosine
