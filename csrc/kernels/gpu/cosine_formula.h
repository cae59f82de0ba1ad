// The cosine distance of a pixel and its gradient, from the pixel's three sums.
#pragma once

#include "element.h"

namespace skt::gpu {

// max(norm, eps), and NaN for NaN.
template <class A>
__device__ inline A clamped_norm(A square, A eps) {
  const A norm = sqrt(square);
  return norm < eps ? eps : norm;
}

template <class A>
__device__ inline A distance_of(A product, A student, A teacher, A eps) {
  return A(1) - product / (clamped_norm(student, eps) * clamped_norm(teacher, eps));
}

// The gradient is of_teacher * teacher + of_student * student, with two numbers per pixel.
template <class A>
struct Coefficients {
  A of_teacher, of_student;
};

template <class A>
__device__ inline Coefficients<A> coefficients(A grad, A product, A student, A teacher, A eps) {
  const A norm = clamped_norm(student, eps);
  const A scale = grad / (norm * clamped_norm(teacher, eps));
  // The clamped norm is constant; a zero vector has no direction, and its gradient is defined as zero.
  return {student == A(0) ? A(0) : -scale, norm > eps ? scale * product / student : A(0)};
}

}  // namespace skt::gpu
