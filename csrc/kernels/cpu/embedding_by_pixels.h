// Tiles of the embedding with one row of pixels per channel, for teachers with that layout (NCHW). Only a few channels
// exist at a time.
#pragma once

#include "embedding_problem.h"
#include "max_pool.h"

namespace skt::embedding::by_pixels {

// s (from, stride); `stride` is that of the tile's pixels.
template <class T>
void load_student(const Problem& problem, const Operands<T>& in, const Tile& tile, Workspace<T>& work) {
  const int64_t stride = row_stride<T>(tile.pixels());
  for (int64_t c = 0; c < problem.from; ++c) {
    T* row = work.student.data() + c * stride;
    for (int64_t r = 0; r < tile.rows; ++r) {
      const int64_t first = in.student.pixel(tile.n, (tile.top + r) * problem.width + tile.left);
      widen_row(in.student.storage, in.student.data, first + c * in.student.stride_c, in.student.stride_w, tile.columns,
                row + r * tile.columns);
    }
    std::fill(row + tile.pixels(), row + padded<T>(tile.pixels()), T(0));
  }
}

// h = ReLU(W s + b) (kChannels, stride).
template <class T>
void embed(const Problem& problem, const Operands<T>& in, const Tile& tile, const Channels& block, Workspace<T>& work) {
  const int64_t stride = row_stride<T>(tile.pixels()), narrow = padded<T>(problem.from);
  small_gemm::multiply<T>({block.count, padded<T>(tile.pixels()), problem.from, in.weight + block.first * narrow,
                           narrow, 1, work.student.data(), stride, work.hidden.data(), stride, in.bias + block.first, 1,
                           false, problem.relu});
}

template <class T>
void sum_products(const Problem& problem, const Operands<T>& in, const Tile& tile, const Channels& block,
                  Workspace<T>& work) {
  const int64_t stride = row_stride<T>(tile.pixels());
  if (block.first == 0) {
    for (auto* row : {&work.product, &work.student_square, &work.teacher_square}) {
      std::fill_n(row->data(), tile.pixels(), T(0));
    }
  }
  for (int64_t c = 0; c < block.count; c += cosine::kStep) {
    const int64_t count = std::min(cosine::kStep, block.count - c);
    for (int64_t r = 0; r < tile.rows; ++r) {
      const int64_t begin = (tile.top + r) * problem.width + tile.left, at = r * tile.columns;
      T *product = work.product.data() + at, *hidden = work.student_square.data() + at;
      T* square = work.teacher_square.data() + at;
      const T *h[cosine::kStep], *t[cosine::kStep];
      for (int64_t i = 0; i < count; ++i) {
        h[i] = work.hidden.data() + (c + i) * stride + at;
        t[i] = load_pixels(*in.teacher, tile.n, block.first + c + i, begin, begin + tile.columns,
                           work.rows.data() + i * tile.columns);
      }
      if (count == cosine::kStep) {
        cosine::add_step(h, t, tile.columns, product, hidden, square);
      } else {
        for (int64_t i = 0; i < count; ++i) cosine::add_channel(h[i], t[i], tile.columns, product, hidden, square);
      }
    }
  }
}

template <class T>
void pool(const Problem& problem, const Tile& tile, const Channels& block, Workspace<T>& work, Pooled<T> out) {
  const int64_t stride = row_stride<T>(tile.pixels());
  const int64_t cells = problem.pooled_height() * problem.pooled_width();
  const int64_t first = tile.top / problem.kernel_h * problem.pooled_width() + tile.left / problem.kernel_w;
  const int64_t windows = divide_up(tile.columns, problem.kernel_w);
  max_pool::WindowRow<T> windows_of(windows, problem.kernel_w);
  for (int64_t c = 0; c < block.count; ++c) {
    const T* hidden = work.hidden.data() + c * stride;
    const int64_t to = (tile.n * problem.to + block.first + c) * cells + first;
    if (problem.kernel_h == 1 && problem.kernel_w == 1) {
      std::copy_n(hidden, tile.columns, out.values + to);
      std::fill_n(out.argmax + to, tile.columns, uint8_t{0});
      continue;
    }
    const max_pool::Best<T> best = windows_of.reduce(hidden, tile.columns, tile.rows, tile.columns);
    std::copy_n(best.value, windows, out.values + to);
    std::copy_n(best.winner, windows, out.argmax + to);
  }
}

// Writes the gradient of h to work.gradient, from the coefficients work.of_teacher and work.of_hidden.
template <class T>
void differentiate(const Problem& problem, const Operands<T>& in, const Upstream<T>& up, const Tile& tile,
                   const Channels& block, Workspace<T>& work) {
  const int64_t stride = row_stride<T>(tile.pixels());
  const T lowest = lowest_passed<T>(problem.relu);
  const uint32_t kernel_w = static_cast<uint32_t>(problem.kernel_w);
  for (int64_t c = 0; c < block.count; ++c) {
    T* gradient = work.gradient.data() + c * stride;
    const T* hidden = work.hidden.data() + c * stride;
    std::fill(gradient + (in.teacher == nullptr ? 0 : tile.pixels()), gradient + padded<T>(tile.pixels()), T(0));
    for (int64_t r = 0; in.teacher != nullptr && r < tile.rows; ++r) {
      const int64_t begin = (tile.top + r) * problem.width + tile.left, at = r * tile.columns;
      const T* t = load_pixels(*in.teacher, tile.n, block.first + c, begin, begin + tile.columns, work.rows.data());
      combine_pixels(work.of_teacher.data() + at, t, work.of_hidden.data() + at, hidden + at, lowest, tile.columns,
                     gradient + at);
    }
    if (up.pooled == nullptr) continue;
    const int64_t cells = problem.pooled_height() * problem.pooled_width();
    const int64_t first = tile.top / problem.kernel_h * problem.pooled_width() + tile.left / problem.kernel_w;
    const int64_t from = (tile.n * problem.to + block.first + c) * cells + first;
    if (problem.kernel_h == 1 && problem.kernel_w == 1) {
      add_passed(up.pooled + from, hidden, lowest, tile.columns, gradient);
      continue;
    }
    for (int64_t left = 0, cell = from; left < tile.columns; left += problem.kernel_w, ++cell) {
      const uint32_t offset = up.argmax[cell], row = offset / kernel_w;
      const int64_t column = left + offset % kernel_w;
      // An offset that no forward pass has written must not lead outside the tile.
      if (row >= tile.rows || column >= tile.columns) continue;
      const int64_t at = row * tile.columns + column;
      if (!(hidden[at] <= lowest)) gradient[at] += up.pooled[cell];
    }
  }
}

// Adds the gradient of s to work.of_student (the first block sets it) and those of the parameters to `sums`.
template <class T>
void propagate(const Problem& problem, const Operands<T>& in, const Tile& tile, const Channels& block,
               Workspace<T>& work, Partial<T> sums) {
  const int64_t pixels = tile.pixels(), stride = row_stride<T>(pixels), narrow = padded<T>(problem.from);
  for (int64_t c = 0; c < block.count; ++c) {
    sums.bias[block.first + c] += cosine::total(work.gradient.data() + c * stride, pixels);
  }
  const int64_t first = block.first * narrow;
  small_gemm::multiply<T>({problem.from, padded<T>(pixels), block.count, in.weight + first, 1, narrow,
                           work.gradient.data(), stride, work.of_student.data(), stride,
                           block.first == 0 ? nullptr : work.of_student.data(), stride, true, false});
  small_gemm::add_row_products<T>({block.count, problem.from, padded<T>(pixels), work.gradient.data(), stride,
                                   work.student.data(), stride, sums.weight + first, narrow});
}

template <class T>
void store_gradient(const Problem& problem, const Tile& tile, const Workspace<T>& work,
                    const FeatureMap& grad_student) {
  const int64_t stride = row_stride<T>(tile.pixels());
  for (int64_t c = 0; c < problem.from; ++c) {
    for (int64_t r = 0; r < tile.rows; ++r) {
      const int64_t first = grad_student.pixel(tile.n, (tile.top + r) * problem.width + tile.left);
      narrow_row(grad_student.storage, work.of_student.data() + c * stride + r * tile.columns, tile.columns,
                 grad_student.data, first + c * grad_student.stride_c, grad_student.stride_w);
    }
  }
}

// Computes h of the whole tile, kChannels at a time, and calls visit(channels) with those in work.hidden.
template <class T, class Visit>
void for_each_block(const Problem& problem, const Operands<T>& in, const Tile& tile, Workspace<T>& work, Visit visit) {
  load_student(problem, in, tile, work);
  for (int64_t c = 0; c < problem.to; c += kChannels) {
    const Channels block{c, std::min(kChannels, problem.to - c)};
    embed(problem, in, tile, block, work);
    visit(block);
  }
}

// Writes the tile's sums over channels to work and its part of `pooled`.
template <class T>
void compare(const Problem& problem, const Operands<T>& in, const Tile& tile, Workspace<T>& work, Pooled<T> pooled) {
  for_each_block(problem, in, tile, work, [&](const Channels& block) {
    if (in.teacher != nullptr) sum_products(problem, in, tile, block, work);
    if (problem.pools()) pool(problem, tile, block, work, pooled);
  });
}

// With the coefficients in work, writes the tile's part of grad_student and adds its part of the parameters' gradients.
template <class T>
void backward_of_tile(const Problem& problem, const Operands<T>& in, const Upstream<T>& up, const Tile& tile,
                      Workspace<T>& work, const FeatureMap& grad_student, Partial<T> sums) {
  for_each_block(problem, in, tile, work, [&](const Channels& block) {
    differentiate(problem, in, up, tile, block, work);
    propagate(problem, in, tile, block, work, sums);
  });
  store_gradient(problem, tile, work, grad_student);
}

}  // namespace skt::embedding::by_pixels
