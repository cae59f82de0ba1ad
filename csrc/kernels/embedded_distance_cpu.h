// Cosine distance of a teacher and of h = ReLU(W s + b), and h max-pooled, on the CPU; h exists a tile at a time.
#pragma once

#include "embedded_by_channels.h"
#include "embedded_by_pixels.h"
#include "embedded_problem.h"

namespace skt::embedded {

// The order of a tile follows the larger feature, the teacher.
template <class T>
bool works_by_channels(const Problem& problem, const Operands<T>& in) {
  const FeatureMap& map = in.teacher != nullptr ? *in.teacher : in.student;
  return map.stride_c == 1 && problem.to > 1;
}

// Tiles [first, last): sums[tile], statistics (N, 3, H W) and pooled are written; the first two only with a teacher.
template <class T>
void forward(
    const Problem& problem, const Operands<T>& in, int64_t first, int64_t last, double* sums, T* statistics,
    Pooled<T> pooled) {
  const bool channels = works_by_channels(problem, in);
  Workspace<T> work(problem);
  for (int64_t index = first; index < last; ++index) {
    const Tile tile = problem.tile(index);
    (channels ? by_channels::embed<T> : by_pixels::embed<T>)(problem, in, tile, work);
    if (in.teacher != nullptr) {
      (channels ? by_channels::sum_products<T> : by_pixels::sum_products<T>)(problem, in, tile, work);
      cosine::distances(work.product.data(), work.student_square.data(), work.teacher_square.data(),
                        static_cast<T>(problem.eps), tile.pixels(), work.distance.data());
      sums[index] = cosine::total(work.distance.data(), tile.pixels());
      copy_statistics<T>(problem, tile, work, statistics, nullptr);
    }
    if (problem.pools()) (channels ? by_channels::pool<T> : by_pixels::pool<T>)(problem, tile, work, pooled);
  }
}

// Tiles [first, last): their pixels of grad_student are written, their share of the parameters' gradients is added.
template <class T>
void backward(
    const Problem& problem, const Operands<T>& in, const Upstream<T>& up, int64_t first, int64_t last,
    Workspace<T>& work, const FeatureMap& grad_student, Partial<T> sums) {
  const bool channels = works_by_channels(problem, in);
  for (int64_t index = first; index < last; ++index) {
    const Tile tile = problem.tile(index);
    (channels ? by_channels::embed<T> : by_pixels::embed<T>)(problem, in, tile, work);
    if (in.teacher != nullptr) {
      copy_statistics<T>(problem, tile, work, nullptr, up.statistics);
      std::fill_n(work.distance.data(), tile.pixels(), up.loss);
      cosine::coefficients(work.distance.data(), work.product.data(), work.student_square.data(),
                           work.teacher_square.data(), static_cast<T>(problem.eps), tile.pixels(),
                           work.of_teacher.data(), work.of_hidden.data());
    }
    (channels ? by_channels::differentiate<T> : by_pixels::differentiate<T>)(problem, in, up, tile, work);
    (channels ? by_channels::propagate<T> : by_pixels::propagate<T>)(problem, in, tile, work, grad_student, sums);
  }
}

}  // namespace skt::embedded
