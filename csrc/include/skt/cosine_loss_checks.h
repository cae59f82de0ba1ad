// Argument checks of cosine_loss and rescale_, the same for every device.
#pragma once

#include <cmath>

#include "check.h"
#include "dispatch.h"

namespace skt {

inline void check_cosine_loss(const Tensor& student, const Tensor& teacher, double eps, double scale) {
  const Arguments check("cosine_loss");
  check.rank("student", student, 4, "(N, C, H, W)");
  check.shape("teacher", teacher, shape_of(student), "(N, C, H, W) of student");
  check.floating("student", student);
  check.floating("teacher", teacher);
  check.same_device("teacher", teacher, "student", student);
  check.require(eps >= 0, "eps must not be negative; got ", eps);
  check.require(std::isfinite(scale) && scale != 0, "scale must be finite and not 0; got ", scale);
}

// That of the student; float16 alone would lose values that are small before a gradient scaler's factor reaches them.
inline ScalarType gradient_dtype(const Tensor& student, ScalarType accumulator) {
  return student.scalar_type() == ScalarType::Half ? accumulator : student.scalar_type();
}

inline void check_rescale(const Tensor& gradient, const Tensor& grad, double scale) {
  const Arguments check("rescale_");
  check.floating("gradient", gradient);
  check.floating("grad", grad);
  check.shape("grad", grad, {}, "()");
  check.same_device("grad", grad, "gradient", gradient);
  check.require(std::isfinite(scale) && scale != 0, "scale must be finite and not 0; got ", scale);
}

}  // namespace skt
