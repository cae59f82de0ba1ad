// Cosine distance over channels on the CPU, forward and backward, one block of pixels at a time.
//
// The layout of the tensors decides between two orders of the same sum:
//   by pixels    (NCHW and anything else): the vector runs over pixels, the loop over channels is outside;
//   by channels  (both channels_last): the vector runs over the channels of one pixel.
// Each pass reads memory once; the gradient finds the block's features in the second-level cache. The result of a block
// depends on the block alone, and so not on the number of threads.
#pragma once

#include <algorithm>
#include <vector>

#include "../divide_up.h"
#include "cosine_loops.h"
#include "feature_map.h"
#include "large_memory.h"

namespace skt::cosine {

constexpr int64_t kBlock = 512;  // most pixels of a block: rows of 2 KiB, a step's rows stay in the first-level cache
constexpr int64_t kCache = int64_t{1} << 16;  // elements of student and teacher that a block may have: 512 KiB

struct Problem {
  int64_t batch, channels, pixels;
  double eps;

  int64_t block() const { return std::clamp<int64_t>(kCache / std::max<int64_t>(channels, 1) / 16 * 16, 64, kBlock); }
  int64_t blocks_per_image() const { return divide_up(pixels, block()); }
  int64_t blocks() const { return batch * blocks_per_image(); }
};

// Pixels [begin, end) of image n.
struct Block {
  int64_t n, begin, end;

  Block(const Problem& problem, int64_t index)
      : n(index / problem.blocks_per_image()),
        begin(index % problem.blocks_per_image() * problem.block()),
        end(std::min(begin + problem.block(), problem.pixels)) {}

  int64_t pixels() const { return end - begin; }
};

// The three sums of a block's pixels: student . teacher, student . student, teacher . teacher.
template <class T>
struct Statistics {
  T* product;
  T* student;
  T* teacher;
};

inline bool by_channels(const Problem& problem, const FeatureMap& student, const FeatureMap& teacher) {
  return student.stride_c == 1 && teacher.stride_c == 1 && problem.channels > 1;
}

// ---- one block ---------------------------------------------------------------------------------------------------

template <class T>
void sum_by_pixels(const FeatureMap& student, const FeatureMap& teacher, const Problem& problem, const Block& block,
                   Statistics<T> out) {
  std::fill_n(out.product, block.pixels(), T(0));
  std::fill_n(out.student, block.pixels(), T(0));
  std::fill_n(out.teacher, block.pixels(), T(0));
  T scratch[2][kStep][kBlock];
  const T *s[kStep], *t[kStep];
  int64_t c = 0;
  for (; c + kStep <= problem.channels; c += kStep) {
    for (int64_t i = 0; i < kStep; ++i) {
      s[i] = load_pixels(student, block.n, c + i, block.begin, block.end, scratch[0][i]);
      t[i] = load_pixels(teacher, block.n, c + i, block.begin, block.end, scratch[1][i]);
    }
    add_step(s, t, block.pixels(), out.product, out.student, out.teacher);
  }
  for (; c < problem.channels; ++c) {
    const T* one_s = load_pixels(student, block.n, c, block.begin, block.end, scratch[0][0]);
    const T* one_t = load_pixels(teacher, block.n, c, block.begin, block.end, scratch[1][0]);
    add_channel(one_s, one_t, block.pixels(), out.product, out.student, out.teacher);
  }
}

template <class T>
void combine_by_pixels(const T* of_teacher, const T* of_student, const FeatureMap& student, const FeatureMap& teacher,
                       const FeatureMap& out, bool streamed, const Problem& problem, const Block& block) {
  T scratch[3][kBlock];
  for (int64_t c = 0; c < problem.channels; ++c) {
    const T* s = load_pixels(student, block.n, c, block.begin, block.end, scratch[0]);
    const T* t = load_pixels(teacher, block.n, c, block.begin, block.end, scratch[1]);
    combine_pixels(of_teacher, t, of_student, s, block.pixels(), scratch[2]);
    if (streamed) {
      T* row = static_cast<T*>(out.data) + out.pixel(block.n, block.begin) + c * out.stride_c;
      stream_copy(row, scratch[2], block.pixels() * static_cast<int64_t>(sizeof(T)));
    } else {
      store_pixels(scratch[2], out, block.n, c, block.begin, block.end);
    }
  }
}

// Pixels [first, first + count), which lie `stride_w` apart, in T: the tensor's own memory if it has that type, else a
// copy.
template <class T>
Pixels<T> load_span(const FeatureMap& map, int64_t n, int64_t first, int64_t count, int64_t channels, T* scratch) {
  const int64_t offset = map.pixel(n, first);
  if (map.storage == storage_of<T>()) return {static_cast<const T*>(map.data) + offset, map.stride_w};
  if (map.stride_w == channels) {
    widen_row(map.storage, map.data, offset, 1, count * channels, scratch);
  } else {
    for (int64_t p = 0; p < count; ++p) {
      widen_row(map.storage, map.data, offset + p * map.stride_w, 1, channels, scratch + p * channels);
    }
  }
  return {scratch, channels};
}

// Calls visit(first pixel, count, student's, teacher's) for spans of pixels that lie `stride_w` apart in both maps.
template <class T, class Visit>
void for_each_span(const FeatureMap& student, const FeatureMap& teacher, const Problem& problem, const Block& block,
                   std::vector<T>& scratch, Visit visit) {
  scratch.resize(2 * problem.channels * problem.block());
  const bool joined = student.rows_join() && teacher.rows_join();
  for (int64_t p = block.begin; p < block.end;) {
    const int64_t count = joined ? block.end - p : std::min(block.end - p, student.width - p % student.width);
    const Pixels<T> s = load_span(student, block.n, p, count, problem.channels, scratch.data());
    const Pixels<T> t =
        load_span(teacher, block.n, p, count, problem.channels, scratch.data() + problem.channels * problem.block());
    visit(p, count, s, t);
    p += count;
  }
}

template <class T>
void sum_by_channels(const FeatureMap& student, const FeatureMap& teacher, const Problem& problem, const Block& block,
                     std::vector<T>& scratch, Statistics<T> out) {
  for_each_span(student, teacher, problem, block, scratch, [&](int64_t first, int64_t count, Pixels<T> s, Pixels<T> t) {
    const int64_t at = first - block.begin;
    sum_channels(s, t, problem.channels, count, out.product + at, out.student + at, out.teacher + at);
  });
}

// out is dense channels_last.
template <class T>
void combine_by_channels(const T* of_teacher, const T* of_student, const FeatureMap& student, const FeatureMap& teacher,
                         const FeatureMap& out, bool streamed, const Problem& problem, const Block& block,
                         std::vector<T>& scratch, std::vector<T>& result) {
  const int64_t step =
      std::max<int64_t>(1, 4096 / problem.channels);  // pixels whose result stays in the first-level cache
  result.resize(step * problem.channels);
  for_each_span(student, teacher, problem, block, scratch, [&](int64_t first, int64_t total, Pixels<T> s, Pixels<T> t) {
    for (int64_t p = 0; p < total; p += step) {
      const int64_t count = std::min(step, total - p), at = first + p - block.begin;
      combine_channels(of_teacher + at, {t.data + p * t.stride, t.stride}, of_student + at,
                       {s.data + p * s.stride, s.stride}, problem.channels, count, result.data());
      const int64_t offset = out.pixel(block.n, first + p), elements = count * problem.channels;
      if (streamed) {
        stream_copy(static_cast<T*>(out.data) + offset, result.data(), elements * static_cast<int64_t>(sizeof(T)));
      } else {
        narrow_row(out.storage, result.data(), elements, out.data, offset, 1);
      }
    }
  });
}

// ---- blocks [first, last) of the whole problem -------------------------------------------------------------------

// Writes the distance of each pixel to distance (N, P) if that is not null, otherwise each block's sum of distances to
// sums[block]. If out is not null, scale times the gradient of the sum of distances is written to it. streamed: out has
// the storage of T, is dense, and is too large to stay in a cache.
template <class T>
void loss(const FeatureMap& student, const FeatureMap& teacher, const Problem& problem, T scale, const FeatureMap* out,
          bool streamed, int64_t first, int64_t last, double* sums, T* distance) {
  const bool adjacent = by_channels(problem, student, teacher);
  const bool gradient_by_channels = adjacent && out != nullptr && out->stride_c == 1;
  const bool sum_channels_first = adjacent && (gradient_by_channels || out == nullptr || distance != nullptr);
  T rows[3][kBlock], of_block[kBlock], grads[kBlock], of_teacher[kBlock], of_student[kBlock];
  const Statistics<T> statistics{rows[0], rows[1], rows[2]};
  std::fill_n(grads, kBlock, scale);
  std::vector<T> scratch, result;
  const T eps = static_cast<T>(problem.eps);
  for (int64_t index = first; index < last; ++index) {
    const Block block(problem, index);
    if (sum_channels_first) {
      sum_by_channels(student, teacher, problem, block, scratch, statistics);
    } else {
      sum_by_pixels(student, teacher, problem, block, statistics);
    }
    T* to = distance == nullptr ? of_block : distance + block.n * problem.pixels + block.begin;
    distances(rows[0], rows[1], rows[2], eps, block.pixels(), to);
    if (distance == nullptr) sums[index] = total(to, block.pixels());
    if (out == nullptr) continue;
    coefficients(grads, rows[0], rows[1], rows[2], eps, block.pixels(), of_teacher, of_student);
    if (gradient_by_channels) {
      combine_by_channels(of_teacher, of_student, student, teacher, *out, streamed, problem, block, scratch, result);
    } else {
      combine_by_pixels(of_teacher, of_student, student, teacher, *out, streamed, problem, block);
    }
  }
  if (streamed) finish_streaming();
}

}  // namespace skt::cosine
