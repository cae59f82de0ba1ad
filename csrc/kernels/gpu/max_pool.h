// Maximum over the windows that tile a map, on the GPU, and its gradient.
//
// The pooled map keeps the winner's offset row * kernel_w + column inside its window in one byte: a window has at most
// 256 pixels. As in torch, the first of equal maxima wins, and among NaNs the last. 16-bit values are compared as
// float.
//
//   by pixels (NCHW):            a thread has Count neighbouring columns and walks down the rows of a window; shared
//                                memory brings the maxima of its columns to one thread per window.
//   by channels (channels_last): a thread has Count neighbouring channels of one window; shared memory transposes the
//                                tile, so that both sides are read and written with neighbours next to each other.
//
// The backward pass is a gather in the same tiles: windows do not overlap, and each pixel asks its own window whether
// it won. Every input pixel is read, or written, once.
#pragma once

#include "../divide_up.h"
#include "element.h"

namespace skt::gpu::max_pool {

constexpr int kThreads = 256;
constexpr int kTilePositions = 32, kTileChannels = 64;  // of a tile by channels
constexpr int kPitch = kTilePositions + 1;              // of its rows in shared memory

// (N, C, H, W): a feature, or the gradient of one. Strides in elements.
struct Map {
  void* data;
  Storage storage;
  int64_t stride_n, stride_c, stride_h, stride_w;
};

// The rows of a feature in the packed matrix (N, C, h * w), or in the gradient of that, at precision A.
struct Pooled {
  void* value;
  uint8_t* winner;   // rows of the same size; null if not wanted
  int64_t stride_n;  // from image to image, in elements

  template <class A>
  __device__ A& at(int64_t index) const {
    return static_cast<A*>(value)[index];
  }
};

// The rest of a normalised gradient: d = scale * value - shift - slope * normalised, with scale, shift and slope of the
// channel. normalised has the rows of Pooled; terms (N, C, 3) is shared by all features of a batch.
template <class A>
struct Normalisation {
  const A* normalised;  // null: d = value
  const A* terms;       // of image 0, this feature's channel 0
  int64_t terms_n;      // from image to image
};

enum class Walk { by_pixels, by_channels };

struct Feature {
  Map map;
  Pooled pooled;
  int channels, height, width, kernel_h, kernel_w;
  Walk walk;
  bool packed;         // threads take 16 bytes at once: everything is aligned for it
  int tile_h, tile_w;  // windows of a tile by pixels
  int64_t tiles;       // of one image

  __host__ __device__ int out_height() const { return divide_up(height, kernel_h); }
  __host__ __device__ int out_width() const { return divide_up(width, kernel_w); }
  __host__ __device__ int64_t positions() const { return static_cast<int64_t>(out_height()) * out_width(); }
  // Columns of a tile by pixels, rounded up so that rows of shared memory stay aligned.
  __host__ __device__ int pitch() const { return (tile_w * kernel_w + 7) / 8 * 8; }
};

// Sets how a feature is read and divided into tiles, from everything else in it.
inline void plan(Feature& feature, int64_t batch, bool accumulates_double) {
  const Map& map = feature.map;
  feature.walk = feature.channels > 1 && map.stride_c == 1 ? Walk::by_channels : Walk::by_pixels;
  const bool by_pixels = feature.walk == Walk::by_pixels;

  const int count = 16 / static_cast<int>(bytes_of(map.storage));
  const auto whole = [&](int64_t size, int64_t stride) { return size <= 1 || stride % count == 0; };
  feature.packed =
      !accumulates_double && (by_pixels ? feature.width : feature.channels) % count == 0 &&
      reinterpret_cast<uintptr_t>(map.data) % 16 == 0 && whole(batch, map.stride_n) &&
      whole(feature.height, map.stride_h) &&
      (by_pixels ? map.stride_w == 1 && whole(feature.channels, map.stride_c) : whole(feature.width, map.stride_w));

  const int64_t out_height = feature.out_height(), out_width = feature.out_width();
  if (!by_pixels) {
    feature.tile_h = feature.tile_w = 0;
    feature.tiles = divide_up<int64_t>(out_height * out_width, kTilePositions) *
                    divide_up<int64_t>(feature.channels, kTileChannels);
    return;
  }
  // A whole row of windows if it is not too wide, else a multiple of 8 windows, which keeps packs aligned (8 windows of
  // at most 256 columns always fit); then as many rows as keep every thread busy with four reads or more.
  constexpr int kMaxColumns = 2048, kMaxCells = 4096, kReads = 4;
  const int64_t widest = kMaxColumns / feature.kernel_w / 8 * 8;
  feature.tile_w = static_cast<int>(out_width <= widest ? out_width : widest);
  const int64_t packs = (static_cast<int64_t>(feature.tile_w) * feature.kernel_w) / (feature.packed ? count : 1);
  const int64_t busy = kThreads * (feature.kernel_h < kReads ? kReads / feature.kernel_h : 1) / (packs > 0 ? packs : 1);
  const int64_t fitting = kMaxCells / feature.pitch();
  const int64_t rows = busy < fitting ? busy : fitting;
  feature.tile_h = static_cast<int>(rows < 1 ? 1 : rows > out_height ? out_height : rows);
  feature.tiles =
      feature.channels * divide_up<int64_t>(out_height, feature.tile_h) * divide_up<int64_t>(out_width, feature.tile_w);
}

// Shared memory of a forward tile, in bytes: values of A, then one byte each.
template <class A>
__host__ __device__ inline size_t forward_bytes(const Feature& feature) {
  const size_t cells = feature.walk == Walk::by_pixels ? static_cast<size_t>(feature.tile_h) * feature.pitch()
                                                       : static_cast<size_t>(kTileChannels) * kPitch;
  return cells * (sizeof(A) + 1);
}

template <class A>
__host__ __device__ inline size_t backward_bytes(const Feature& feature) {
  return feature.walk == Walk::by_pixels ? 0 : static_cast<size_t>(kTileChannels) * kPitch * (sizeof(A) + 1);
}

// ---- elements of a map ---------------------------------------------------------------------------------------------

// Count neighbours of a map at once: Packed<Element> knows the storage at compile time, Single at run time.
template <class Element>
struct Packed {
  static constexpr int kCount = 16 / sizeof(Element);
  template <class A>
  __device__ static Pack<A, kCount> read(const Map& map, int64_t at) {
    return load_as<kCount, Element, A>(map.data, at);
  }
  template <class A>
  __device__ static void write(const Map& map, int64_t at, const Pack<A, kCount>& values) {
    store_as<kCount, Element>(map.data, at, values);
  }
};

struct Single {
  static constexpr int kCount = 1;
  template <class A>
  __device__ static Pack<A, 1> read(const Map& map, int64_t at) {
    return gpu::read<1, A>(map.data, map.storage, at);
  }
  template <class A>
  __device__ static void write(const Map& map, int64_t at, const Pack<A, 1>& values) {
    gpu::write<1>(map.data, map.storage, at, values);
  }
};

// Calls visit(Access{}), the same for all threads of a block. double is read one element at a time.
template <class A, class Visit>
__device__ inline void visit_access(const Feature& feature, Visit visit) {
  if constexpr (sizeof(A) == 4) {
    if (feature.packed) {
      switch (feature.map.storage) {
        case Storage::float16: return visit(Packed<__half>{});
        case Storage::bfloat16: return visit(Packed<__nv_bfloat16>{});
        default: return visit(Packed<float>{});
      }
    }
  }
  visit(Single{});
}

// ---- forward -------------------------------------------------------------------------------------------------------

template <class A>
struct Best {
  A value;
  int offset;
};

// The better of two candidates: the larger; of equal ones the first, of NaNs the last.
template <class A>
__device__ inline Best<A> better(const Best<A>& a, const Best<A>& b) {
  const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
  if (a_nan || b_nan) return a_nan && (!b_nan || a.offset > b.offset) ? a : b;
  if (a.value != b.value) return a.value > b.value ? a : b;
  return a.offset < b.offset ? a : b;
}

// Whether the next candidate wins over an earlier one.
template <class A>
__device__ inline bool wins(A next, A best) {
  return next > best || next != next;
}

template <class A>
__device__ inline void put(const Feature& feature, int64_t at, const Best<A>& best) {
  feature.pooled.at<A>(at) = best.value;
  if (feature.pooled.winner != nullptr) feature.pooled.winner[at] = static_cast<uint8_t>(best.offset);
}

// A tile by pixels: tile_h x tile_w windows of one channel.
struct PixelTile {
  int64_t n, c;
  int first_h, first_w, rows, windows;  // windows of the map
  int left, columns;                    // pixels of the map

  __device__ PixelTile(const Feature& feature, int64_t n, int64_t tile) : n(n) {
    const int across = divide_up(feature.out_width(), feature.tile_w);
    const int down = divide_up(feature.out_height(), feature.tile_h);
    c = tile / (static_cast<int64_t>(across) * down);
    const int in_channel = static_cast<int>(tile - c * across * down);
    first_h = in_channel / across * feature.tile_h;
    first_w = in_channel % across * feature.tile_w;
    rows = min(feature.tile_h, feature.out_height() - first_h);
    windows = min(feature.tile_w, feature.out_width() - first_w);
    left = first_w * feature.kernel_w;
    columns = min(windows * feature.kernel_w, feature.width - left);
  }
};

template <class Access, class A>
__device__ inline void forward_by_pixels(const Feature& feature, int64_t n, int64_t index, A* shared) {
  constexpr int kCount = Access::kCount;
  const PixelTile tile(feature, n, index);
  const int pitch = feature.pitch(), kernel_w = feature.kernel_w;
  uint8_t* shared_row = reinterpret_cast<uint8_t*>(shared + feature.tile_h * pitch);

  const int packs = tile.columns / kCount;
  const int64_t plane = n * feature.map.stride_n + tile.c * feature.map.stride_c;
  for (int item = threadIdx.x; item < tile.rows * packs; item += kThreads) {
    const int r = item / packs, column = (item - r * packs) * kCount;
    const int top = (tile.first_h + r) * feature.kernel_h, rows = min(feature.kernel_h, feature.height - top);
    int64_t from = plane + top * feature.map.stride_h + (tile.left + column) * feature.map.stride_w;
    Pack<A, kCount> best = Access::template read<A>(feature.map, from);
    Pack<uint8_t, kCount> winner{};
#pragma unroll(kCount == 8 ? 2 : 4)
    for (int y = 1; y < rows; ++y) {
      from += feature.map.stride_h;
      const Pack<A, kCount> next = Access::template read<A>(feature.map, from);
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        if (wins(next.value[i], best.value[i])) {
          best.value[i] = next.value[i];
          winner.value[i] = static_cast<uint8_t>(y);
        }
      }
    }
    store<kCount>(shared + r * pitch + column, best);
    store<kCount>(shared_row + r * pitch + column, winner);
  }
  __syncthreads();

  for (int item = threadIdx.x; item < tile.rows * tile.windows; item += kThreads) {
    const int r = item / tile.windows, window = item - r * tile.windows;
    const int first = window * kernel_w, last = min(first + kernel_w, tile.columns);
    Best<A> best{shared[r * pitch + first], shared_row[r * pitch + first] * kernel_w};
    for (int x = first + 1; x < last; ++x) {
      best = better(best, {shared[r * pitch + x], shared_row[r * pitch + x] * kernel_w + x - first});
    }
    const int64_t p = static_cast<int64_t>(tile.first_h + r) * feature.out_width() + tile.first_w + window;
    put(feature, n * feature.pooled.stride_n + tile.c * feature.positions() + p, best);
  }
}

// A tile by channels: up to kTilePositions windows, counted along the map's rows, of up to kTileChannels channels.
struct ChannelTile {
  int64_t n, position;
  int channel, positions, channels;

  __device__ ChannelTile(const Feature& feature, int64_t n, int64_t tile) : n(n) {
    const int across = divide_up(feature.channels, kTileChannels);
    position = tile / across * kTilePositions;
    channel = static_cast<int>(tile % across) * kTileChannels;
    positions = static_cast<int>(min(static_cast<int64_t>(kTilePositions), feature.positions() - position));
    channels = min(kTileChannels, feature.channels - channel);
  }

  // The index of channel c and position p of the tile on the pooled side.
  __device__ int64_t pooled(const Feature& feature, int c, int p) const {
    return n * feature.pooled.stride_n + (channel + c) * feature.positions() + position + p;
  }

  // Calls visit(c, p) for all of the tile, with neighbouring positions next to each other.
  template <class Visit>
  __device__ void for_each(Visit visit) const {
    for (int item = threadIdx.x; item < positions * channels; item += kThreads) {
      const int c = item / positions;
      visit(c, item - c * positions);
    }
  }
};

// The pixels of one window.
struct Window {
  int top, left, rows, columns;

  __device__ Window(const Feature& feature, int64_t position) {
    const int out_width = feature.out_width();
    const int h = static_cast<int>(position / out_width);
    const int w = static_cast<int>(position - static_cast<int64_t>(h) * out_width);
    top = h * feature.kernel_h;
    left = w * feature.kernel_w;
    rows = min(feature.kernel_h, feature.height - top);
    columns = min(feature.kernel_w, feature.width - left);
  }
};

template <class Access, class A>
__device__ inline void forward_by_channels(const Feature& feature, int64_t n, int64_t index, A* shared) {
  constexpr int kCount = Access::kCount;
  const ChannelTile tile(feature, n, index);
  uint8_t* shared_offset = reinterpret_cast<uint8_t*>(shared + kTileChannels * kPitch);

  const int packs = tile.channels / kCount;
  for (int item = threadIdx.x; item < tile.positions * packs; item += kThreads) {
    const int p = item / packs, c = (item - p * packs) * kCount;
    const Window window(feature, tile.position + p);
    const int64_t from = n * feature.map.stride_n + window.top * feature.map.stride_h +
                         window.left * feature.map.stride_w + (tile.channel + c) * feature.map.stride_c;
    Pack<A, kCount> best = Access::template read<A>(feature.map, from);
    Pack<uint8_t, kCount> winner{};
    for (int y = 0; y < window.rows; ++y) {
#pragma unroll(kCount == 8 ? 2 : 4)
      for (int x = 0; x < window.columns; ++x) {  // (0, 0) again changes nothing
        const Pack<A, kCount> next =
            Access::template read<A>(feature.map, from + y * feature.map.stride_h + x * feature.map.stride_w);
#pragma unroll
        for (int i = 0; i < kCount; ++i) {
          if (wins(next.value[i], best.value[i])) {
            best.value[i] = next.value[i];
            winner.value[i] = static_cast<uint8_t>(y * feature.kernel_w + x);
          }
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      shared[(c + i) * kPitch + p] = best.value[i];
      shared_offset[(c + i) * kPitch + p] = winner.value[i];
    }
  }
  __syncthreads();
  tile.for_each([&](int c, int p) {
    put(feature, tile.pooled(feature, c, p), Best<A>{shared[c * kPitch + p], shared_offset[c * kPitch + p]});
  });
}

// One block: one tile of image n.
template <class A>
__device__ inline void forward_tile(const Feature& feature, int64_t n, int64_t tile, A* shared) {
  visit_access<A>(feature, [&](auto access) {
    using Access = decltype(access);
    if (feature.walk == Walk::by_pixels)
      forward_by_pixels<Access>(feature, n, tile, shared);
    else
      forward_by_channels<Access>(feature, n, tile, shared);
  });
}

// ---- backward ------------------------------------------------------------------------------------------------------

// The gradient of one pooled element.
template <class A>
__device__ inline A pooled_gradient(const Feature& feature, const Normalisation<A>& normalisation, int64_t n, int64_t c,
                                    int64_t at) {
  const A value = feature.pooled.at<A>(at);
  if (normalisation.normalised == nullptr) return value;
  const A* terms = normalisation.terms + n * normalisation.terms_n + 3 * c;
  return terms[0] * value - terms[1] - terms[2] * normalisation.normalised[at];
}

template <class Access, class A>
__device__ inline void backward_by_pixels(const Feature& feature, const Normalisation<A>& normalisation, int64_t n,
                                          int64_t index) {
  constexpr int kCount = Access::kCount;
  const PixelTile tile(feature, n, index);
  const int packs = tile.columns / kCount, kernel_w = feature.kernel_w;
  const int64_t plane = n * feature.map.stride_n + tile.c * feature.map.stride_c;
  for (int item = threadIdx.x; item < tile.rows * packs; item += kThreads) {
    const int r = item / packs, column = (item - r * packs) * kCount;
    const int h = tile.first_h + r, top = h * feature.kernel_h, rows = min(feature.kernel_h, feature.height - top);

    Pack<A, kCount> gradient;
    int winning_row[kCount];  // the row in which this thread's column has won; -1: in none
    int previous = -1, offset = 0;
    A value = 0;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int window = (tile.left + column + i) / kernel_w, x = tile.left + column + i - window * kernel_w;
      if (window != previous) {
        const int64_t p = static_cast<int64_t>(h) * feature.out_width() + window;
        const int64_t at = n * feature.pooled.stride_n + tile.c * feature.positions() + p;
        value = pooled_gradient(feature, normalisation, n, tile.c, at);
        offset = feature.pooled.winner[at];
        previous = window;
      }
      gradient.value[i] = value;
      winning_row[i] = offset % kernel_w == x ? offset / kernel_w : -1;
    }
    int64_t to = plane + top * feature.map.stride_h + (tile.left + column) * feature.map.stride_w;
    for (int y = 0; y < rows; ++y) {
      Pack<A, kCount> out;
#pragma unroll
      for (int i = 0; i < kCount; ++i) out.value[i] = winning_row[i] == y ? gradient.value[i] : A(0);
      Access::write(feature.map, to, out);
      to += feature.map.stride_h;
    }
  }
}

template <class Access, class A>
__device__ inline void backward_by_channels(const Feature& feature, const Normalisation<A>& normalisation, int64_t n,
                                            int64_t index, A* shared) {
  constexpr int kCount = Access::kCount;
  const ChannelTile tile(feature, n, index);
  uint8_t* shared_offset = reinterpret_cast<uint8_t*>(shared + kTileChannels * kPitch);
  tile.for_each([&](int c, int p) {
    const int64_t at = tile.pooled(feature, c, p);
    shared[c * kPitch + p] = pooled_gradient(feature, normalisation, n, tile.channel + c, at);
    shared_offset[c * kPitch + p] = feature.pooled.winner[at];
  });
  __syncthreads();

  const int packs = tile.channels / kCount;
  for (int item = threadIdx.x; item < tile.positions * packs; item += kThreads) {
    const int p = item / packs, c = (item - p * packs) * kCount;
    const Window window(feature, tile.position + p);
    const int64_t to = n * feature.map.stride_n + window.top * feature.map.stride_h +
                       window.left * feature.map.stride_w + (tile.channel + c) * feature.map.stride_c;
    Pack<A, kCount> gradient;
    int winner[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      gradient.value[i] = shared[(c + i) * kPitch + p];
      winner[i] = shared_offset[(c + i) * kPitch + p];
    }
    for (int y = 0; y < window.rows; ++y) {
      for (int x = 0; x < window.columns; ++x) {
        const int own = y * feature.kernel_w + x;
        Pack<A, kCount> out;
#pragma unroll
        for (int i = 0; i < kCount; ++i) out.value[i] = winner[i] == own ? gradient.value[i] : A(0);
        Access::write(feature.map, to + y * feature.map.stride_h + x * feature.map.stride_w, out);
      }
    }
  }
}

// One block: one tile of image n.
template <class A>
__device__ inline void backward_tile(const Feature& feature, const Normalisation<A>& normalisation, int64_t n,
                                     int64_t tile, A* shared) {
  visit_access<A>(feature, [&](auto access) {
    using Access = decltype(access);
    if (feature.walk == Walk::by_pixels)
      backward_by_pixels<Access>(feature, normalisation, n, tile);
    else
      backward_by_channels<Access>(feature, normalisation, n, tile, shared);
  });
}

}  // namespace skt::gpu::max_pool
