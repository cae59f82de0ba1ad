// The cosine distance between a teacher and h = ReLU(W s + b), and h max-pooled, on the CPU. Only one tile of h exists
// at a time in each thread.
#pragma once

#include "embedding_by_channels.h"
#include "embedding_by_pixels.h"
#include "embedding_problem.h"

namespace skt::embedding {

// Writes sums[tile], statistics (N, 3, H W) and pooled for the tiles [first, last); the first two only with a teacher.
template <class T>
void forward(const Problem& problem, const Operands<T>& in, int64_t first, int64_t last, double* sums, T* statistics,
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

// For the tiles [first, last), writes their pixels of grad_student and adds their share of the parameters' gradients.
template <class T>
void backward(const Problem& problem, const Operands<T>& in, const Upstream<T>& up, int64_t first, int64_t last,
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
    (problem.by_channels ? by_channels::backward_of_tile<T> : by_pixels::backward_of_tile<T>)(problem, in, up, tile,
                                                                                              work, grad_student, sums);
  }
}

}  // namespace skt::embedding
