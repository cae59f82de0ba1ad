// Argument checks of embedded_distance, the same for every device.
#pragma once

#include <optional>
#include <vector>

#include "check.h"
#include "dispatch.h"
#include "kernels/divide_up.h"

namespace skt {

struct EmbeddedSizes {
  int64_t batch, student_channels, teacher_channels, height, width;
  int64_t kernel_h, kernel_w;  // both 0: nothing is pooled

  bool pools() const { return kernel_h > 0; }
  int64_t pooled_height() const { return divide_up(height, kernel_h); }
  int64_t pooled_width() const { return divide_up(width, kernel_w); }
};

inline ScalarType embedded_accumulator(const Tensor& student, const Tensor& weight, const std::optional<Tensor>& bias,
                                       const std::optional<Tensor>& teacher) {
  return accumulator_of(student, weight, bias.has_value() ? *bias : weight, teacher.has_value() ? *teacher : weight);
}

inline EmbeddedSizes check_embedded_operands(const Arguments& check, const Tensor& student, const Tensor& weight,
                                             const std::optional<Tensor>& bias, const std::optional<Tensor>& teacher,
                                             double eps, int64_t kernel_h, int64_t kernel_w) {
  check.rank("student", student, 4, "(N, Cs, H, W)");
  check.floating("student", student);
  check.rank("weight", weight, 2, "(Ct, Cs)");
  check.floating("weight", weight);
  const EmbeddedSizes sizes{student.size(0), student.size(1), weight.size(0), student.size(2),
                            student.size(3), kernel_h,        kernel_w};
  check.require(sizes.student_channels > 0 && sizes.height > 0 && sizes.width > 0,
                "student must have Cs, H and W of at least 1; got ", list(shape_of(student)));
  check.require(sizes.teacher_channels > 0, "weight must have at least one row; got ", list(shape_of(weight)));
  check.shape("weight", weight, {sizes.teacher_channels, sizes.student_channels}, "(Ct, Cs)");
  check.same_device("weight", weight, "student", student);
  constexpr int64_t kMost = int64_t{1} << 24;
  check.require(sizes.student_channels <= kMost && sizes.teacher_channels <= kMost,
                "weight must have at most 2^24 rows and columns; got ", list(shape_of(weight)));
  check.countable("student", student, {sizes.batch, sizes.height, sizes.width});
  if (bias.has_value()) {
    check.shape("bias", *bias, {sizes.teacher_channels}, "(Ct,)");
    check.floating("bias", *bias);
    check.same_device("bias", *bias, "student", student);
  }
  if (teacher.has_value()) {
    check.shape("teacher", *teacher, {sizes.batch, sizes.teacher_channels, sizes.height, sizes.width}, "(N, Ct, H, W)");
    check.floating("teacher", *teacher);
    check.same_device("teacher", *teacher, "student", student);
  }
  check.eps(eps);
  check.require((kernel_h == 0 && kernel_w == 0) ||
                    (kernel_h > 0 && kernel_w > 0 && kernel_h <= 256 && kernel_w <= 256 && kernel_h * kernel_w <= 256),
                "the kernel (kernel_h, kernel_w) must be positive and of at most 256 cells, or (0, 0); got ",
                list({kernel_h, kernel_w}));
  return sizes;
}

inline EmbeddedSizes check_embedded_distance(const Tensor& student, const Tensor& weight,
                                             const std::optional<Tensor>& bias, const std::optional<Tensor>& teacher,
                                             double eps, int64_t kernel_h, int64_t kernel_w) {
  return check_embedded_operands(Arguments("embedded_distance"), student, weight, bias, teacher, eps, kernel_h,
                                 kernel_w);
}

inline EmbeddedSizes check_embedded_distance_backward(const Tensor& grad_loss, const std::optional<Tensor>& grad_pooled,
                                                      const Tensor& student, const Tensor& weight,
                                                      const std::optional<Tensor>& bias,
                                                      const std::optional<Tensor>& teacher, const Tensor& argmax,
                                                      const Tensor& statistics, double eps, int64_t kernel_h,
                                                      int64_t kernel_w) {
  const Arguments check("embedded_distance_backward");
  const EmbeddedSizes sizes = check_embedded_operands(check, student, weight, bias, teacher, eps, kernel_h, kernel_w);
  const ScalarType accumulator = embedded_accumulator(student, weight, bias, teacher);
  check.rank("grad_loss", grad_loss, 0, "()");
  check.dtype("grad_loss", grad_loss, {accumulator});
  check.same_device("grad_loss", grad_loss, "student", student);
  if (teacher.has_value()) {
    check.shape("statistics", statistics, {sizes.batch, 3, sizes.height, sizes.width}, "(N, 3, H, W)");
    check.dtype("statistics", statistics, {accumulator});
    check.same_device("statistics", statistics, "student", student);
  }
  if (grad_pooled.has_value()) {
    check.require(sizes.pools(), "grad_pooled must not be given with a kernel of (0, 0)");
    const std::vector<int64_t> pooled{sizes.batch, sizes.teacher_channels, sizes.pooled_height(), sizes.pooled_width()};
    const char* axes = "(N, Ct, ceil(H / kernel_h), ceil(W / kernel_w))";
    check.shape("grad_pooled", *grad_pooled, pooled, axes);
    check.dtype("grad_pooled", *grad_pooled, {accumulator});
    check.same_device("grad_pooled", *grad_pooled, "student", student);
    check.shape("argmax", argmax, pooled, axes);
    check.dtype("argmax", argmax, {ScalarType::Byte});
    check.same_device("argmax", argmax, "student", student);
  }
  return sizes;
}

}  // namespace skt
