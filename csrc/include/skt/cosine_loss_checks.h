// Argument checks of cosine_loss and rescale_, the same for every device.
#pragma once

#include <cmath>

#include "check.h"
#include "dispatch.h"
#include "layout.h"

namespace skt {

constexpr int64_t kMostChannels = int64_t{1} << 30;  // CUDA kernels count them in int

// The computation may be in float32.
inline void check_scale(const Arguments& check, double scale) {
  check.require(std::isnormal(scale) && std::isnormal(static_cast<float>(scale)),
                "scale must be finite and not 0, also in float32; got ", scale);
}

inline void check_cosine_loss(const Tensor& student, const Tensor& teacher, double eps, double scale) {
  const Arguments check("cosine_loss");
  check.rank("student", student, 4, "(N, C, H, W)");
  check.shape("teacher", teacher, shape_of(student), "(N, C, H, W) of student");
  check.floating("student", student);
  check.floating("teacher", teacher);
  check.same_device("teacher", teacher, "student", student);
  check.countable("student", student, {student.size(0), student.size(2), student.size(3)});
  check.require(student.size(1) <= kMostChannels, "student must have at most 2^30 channels; got ",
                list(shape_of(student)));
  check.eps(eps);
  check_scale(check, scale);
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
  check.require(is_dense(gradient),
                "gradient must be dense: its elements, in some order of its axes, must follow each ",
                "other in memory; got shape ", list(shape_of(gradient)), " with strides ", list(strides_of(gradient)));
  check_scale(check, scale);
}

}  // namespace skt
