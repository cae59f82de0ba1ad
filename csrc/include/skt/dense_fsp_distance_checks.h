// Argument checks of dense_fsp_distance, the same for every device.
#pragma once

#include <string>
#include <vector>

#include "check.h"

namespace skt {

inline void check_dense_fsp_operands(const Arguments& check, const Tensor& student,
                                     const std::vector<int64_t>& channels, const std::string& precision) {
  check.rank("student", student, 3, "(N, C, P)");
  check.dtype("student", student, {ScalarType::Float, ScalarType::Double});
  check.require(student.size(2) > 0, "student must have at least one position P; got ", list(shape_of(student)));
  int64_t left = student.size(1);
  for (const int64_t count : channels) {
    check.require(count > 0, "channels must be positive; got ", list(channels));
    left = count <= left ? left - count : -1;
  }
  check.require(left == 0, "channels must sum to C = ", student.size(1), "; got ", list(channels));
  check.require(precision == "float32" || precision == "tf32" || precision == "bfloat16" || precision == "float16",
                "precision must be float32, tf32, bfloat16 or float16; got ", precision);
}

inline void check_dense_fsp_distance(const Tensor& student, const Tensor& teacher, const std::vector<int64_t>& channels,
                                     const std::string& precision) {
  const Arguments check("dense_fsp_distance");
  check_dense_fsp_operands(check, student, channels, precision);
  check.shape("teacher", teacher, shape_of(student), "(N, C, P) of student");
  check.dtype("teacher", teacher, {student.scalar_type()});
  check.same_device("teacher", teacher, "student", student);
}

inline void check_dense_fsp_distance_backward(const Tensor& grad, const Tensor& student, const Tensor& difference,
                                              const std::vector<int64_t>& channels, const std::string& precision) {
  const Arguments check("dense_fsp_distance_backward");
  check_dense_fsp_operands(check, student, channels, precision);
  check.shape("grad", grad, {student.size(0)}, "(N,)");
  check.shape("difference", difference, {student.size(0), student.size(1), student.size(1)}, "(N, C, C)");
  check.dtype("grad", grad, {student.scalar_type()});
  check.dtype("difference", difference, {student.scalar_type()});
  check.same_device("grad", grad, "student", student);
  check.same_device("difference", difference, "student", student);
}

}  // namespace skt
