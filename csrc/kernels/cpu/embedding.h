// Cosine distance of a teacher and of h = ReLU(W s + b), and h max-pooled, on the CPU; h exists a tile at a time.
#pragma once

#include "embedding_by_channels.h"
#include "embedding_by_pixels.h"
#include "embedding_problem.h"

namespace skt::embedding {

// Tiles [first, last): sums[tile], statistics (N, 3, H W) and pooled are written; the first two only with a teacher.
template <class T>
void forward(
    const Problem& problem, const Operands<T>& in, int64_t first, int64_t last, double* sums, T* statistics,
    Pooled<T> pooled) {
  Workspace<T> work(problem);
  for (int64_t index = first; index < last; ++index) {
    const Tile tile = problem.tile(index);
    (problem.by_channels ? by_channels::compare<T> : by_pixels::compare<T>)(problem, in, tile, work, pooled);
    if (in.teacher != nullptr) {
      cosine::distances(work.product.data(), work.student_square.data(), work.teacher_square.data(),
                        static_cast<T>(problem.eps), tile.pixels(), work.distance.data());
      sums[index] = cosine::total(work.distance.data(), tile.pixels());
      copy_statistics<T>(problem, tile, work, statistics, nullptr);
    }
  }
}

// Tiles [first, last): their pixels of grad_student are written, their share of the parameters' gradients is added.
template <class T>
void backward(
    const Problem& problem, const Operands<T>& in, const Upstream<T>& up, int64_t first, int64_t last,
    Workspace<T>& work, const FeatureMap& grad_student, Partial<T> sums) {
  for (int64_t index = first; index < last; ++index) {
    const Tile tile = problem.tile(index);
    if (in.teacher != nullptr) {
      copy_statistics<T>(problem, tile, work, nullptr, up.statistics);
      std::fill_n(work.distance.data(), tile.pixels(), up.loss);
      cosine::coefficients(work.distance.data(), work.product.data(), work.student_square.data(),
                           work.teacher_square.data(), static_cast<T>(problem.eps), tile.pixels(),
                           work.of_teacher.data(), work.of_hidden.data());
    }
    (problem.by_channels ? by_channels::pull_back<T> : by_pixels::pull_back<T>)(problem, in, up, tile, work,
                                                                               grad_student, sums);
  }
}

}  // namespace skt::embedding
