// Argument checks of cosine_distance, the same for every device.
#pragma once

#include "check.h"
#include "dispatch.h"

namespace skt {

inline void check_cosine_distance_inputs(
    const Arguments& check, const Tensor& student, const Tensor& teacher, double eps) {
  check.rank("student", student, 4, "(N, C, H, W)");
  check.shape("teacher", teacher, shape_of(student), "(N, C, H, W) of student");
  check.floating("student", student);
  check.floating("teacher", teacher);
  check.same_device("teacher", teacher, "student", student);
  check.require(eps >= 0, "eps must not be negative; got ", eps);
}

inline void check_cosine_distance(const Tensor& student, const Tensor& teacher, double eps) {
  check_cosine_distance_inputs(Arguments("cosine_distance"), student, teacher, eps);
}

inline void check_cosine_distance_backward(
    const Tensor& grad, const Tensor& student, const Tensor& teacher, const Tensor& statistics, double eps) {
  const Arguments check("cosine_distance_backward");
  check_cosine_distance_inputs(check, student, teacher, eps);
  const int64_t batch = student.size(0), height = student.size(2), width = student.size(3);
  const ScalarType accumulator = accumulator_of(student, teacher);
  check.shape("grad", grad, {batch, height, width}, "(N, H, W)");
  check.shape("statistics", statistics, {batch, 3, height, width}, "(N, 3, H, W)");
  check.dtype("grad", grad, {accumulator});
  check.dtype("statistics", statistics, {accumulator});
  check.same_device("grad", grad, "student", student);
  check.same_device("statistics", statistics, "student", student);
}

inline void check_cosine_loss(const Tensor& student, const Tensor& teacher, double eps) {
  check_cosine_distance_inputs(Arguments("cosine_loss"), student, teacher, eps);
}

inline void check_rescale(const Tensor& gradient, const Tensor& grad, double scale) {
  const Arguments check("rescale_");
  check.floating("gradient", gradient);
  check.floating("grad", grad);
  check.shape("grad", grad, {}, "()");
  check.same_device("grad", grad, "gradient", gradient);
  check.require(scale != 0, "scale must not be 0");
}

}  // namespace skt
