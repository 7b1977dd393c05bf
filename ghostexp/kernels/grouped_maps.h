// Maps of a training step: lane l of a vector is image l of a group of kLanes images.
//
// Maps lie as [groups][height][channels][width][kLanes] without a border, so that one row of all
// channels is contiguous. A kernel reads rows into rings with borders of zeros, where they stay in
// the cache. Many values are never stored: a row of relu(norm(outputs) + residual) is computed again
// whenever a kernel loads it.

#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "vectors.h"

#ifndef BF16
#define BF16 0  // 1: maps are stored in bfloat16
#endif
#if BF16
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))

namespace {

#if BF16
typedef bfloat16 Stored;

INLINE void save(Stored* to, const Floats& values) {
  const __m256bh halves = _mm512_cvtneps_pbh((__m512)values);
  std::memcpy(to, &halves, sizeof halves);
}
#else
typedef float Stored;

INLINE void save(Stored* to, const Floats& values) { store(to, values); }
#endif

constexpr int kLanes = kVector;

struct Sizes {
  int channels, height, width;

  int64_t row(int64_t group, int y) const {  // where a row of all channels begins
    return (group * height + y) * channels * width * kLanes;
  }
};

inline int64_t groups_of(int64_t images) { return (images + kLanes - 1) / kLanes; }

inline int images_in(int64_t group, int64_t images) {
  return int(std::min<int64_t>(kLanes, images - group * kLanes));
}

// Sum of a vector's first `count` lanes: the others hold no image.
inline double sum_lanes(const Floats& values, int count) {
  double sum = 0;
  for (int lane = 0; lane < count; ++lane) sum += values[lane];
  return sum;
}

// All bits of the first `count` lanes.
inline Words lanes_below(int count) {
  Words mask = {};
  for (int lane = 0; lane < count; ++lane) mask[lane] = ~0u;
  return mask;
}

// Memory of one thread, which stays for the next kernel.
inline Floats* scratch(int64_t vectors) {
  struct alignas(kBytes) Line {
    float values[kLanes];
  };
  static thread_local std::vector<Line> memory;
  if (int64_t(memory.size()) < vectors) memory.resize(vectors);
  return reinterpret_cast<Floats*>(memory.data());
}

constexpr int power_of_two(int least) {
  int size = 1;
  while (size < least) size *= 2;
  return size;
}

// The newest `slots` rows of maps, [slots][channels][pad + width + pad], and one row of zeros.
template <int channels, int width, int pad, int slots>
struct Ring {
  static constexpr int kPitch = width + 2 * pad, kRow = channels * kPitch;
  static constexpr int kSize = (slots + 1) * kRow;
  Floats* memory;

  void clear() {
    for (Floats* line = memory; line < memory + kSize; line += kPitch) {
      std::fill_n(line, pad, Floats{});
      std::fill_n(line + pad + width, pad, Floats{});
    }
    std::fill_n(memory + slots * kRow, kRow, Floats{});
  }
  Floats* row(int y) const { return memory + y % slots * kRow + pad; }
  const Floats* row_or_zeros(int y, int height) const {
    return y < 0 || y >= height ? memory + slots * kRow + pad : row(y);
  }
};

// Maps, scaled and shifted where a batch norm follows them. As a residual, channel c is the maps'
// channel c - first, and pixels are `step` apart.
struct Term {
  const Stored* maps;
  const float *scale, *shift;
  int channels, height, width, first, step;
};

// relu(main + residual), as a layer reads it. The first layer that reads it stores it in `kept`.
struct Source {
  Term main, residual;
  Stored* kept;
  int relu;
};

INLINE void load_channel(const Source& source, int64_t group, int c, int y, int64_t start, int width,
                         Floats* to) {
  const Stored* from = source.main.maps + start;
  const float floor = source.relu ? 0 : -std::numeric_limits<float>::infinity();
  const auto put = [&](int x, Floats value) {
    to[x] = value < floor ? Floats{} + floor : value;  // not a number stays what it is
  };
  if (!source.main.scale) {
    for (int x = 0; x < width; ++x) put(x, load(from + x * kLanes));
    return;
  }
  const float scale = source.main.scale[c], shift = source.main.shift[c];
  const Term& more = source.residual;
  const int channel = c - more.first;
  if (!more.maps || channel < 0 || channel >= more.channels) {
    for (int x = 0; x < width; ++x) put(x, load(from + x * kLanes) * scale + shift);
    return;
  }
  const Stored* other =
      more.maps + ((group * more.height + y * more.step) * more.channels + channel) * more.width * kLanes;
  const float by = more.scale ? more.scale[channel] : 1, plus = more.scale ? more.shift[channel] : 0;
  if (more.step == 1 && !more.scale) {
    for (int x = 0; x < width; ++x)
      put(x, load(from + x * kLanes) * scale + shift + load(other + x * kLanes));
    return;
  }
  for (int x = 0; x < width; ++x)
    put(x, load(from + x * kLanes) * scale + shift + (load(other + x * more.step * kLanes) * by + plus));
}

// Row y of a source into a ring. `is_first`: what is kept has to be computed and stored.
INLINE void load_row(const Source& source, const Sizes sizes, int64_t group, int y, bool is_first,
                     Floats* to, int pitch) {
  const int64_t start = sizes.row(group, y), line = int64_t(sizes.width) * kLanes;
  for (int c = 0; c < sizes.channels; ++c) {
    Stored* kept = source.kept + start + c * line;
    if (source.kept && !is_first) {
      for (int x = 0; x < sizes.width; ++x) to[c * pitch + x] = load(kept + x * kLanes);
      continue;
    }
    load_channel(source, group, c, y, start + c * line, sizes.width, to + c * pitch);
    if (source.kept)
      for (int x = 0; x < sizes.width; ++x) save(kept + x * kLanes, to[c * pitch + x]);
  }
}

// What becomes of the gradient of a source: the gradients from other readers are added, ReLU masks
// it, and the sums that its batch norm needs are taken: of g, and of g * (outputs - mean).
struct Closing {
  Term more[2];  // a residual's view is followed backwards
  Stored* grads;
  const Stored* outputs;  // of the convolution before the batch norm, or null
  const float* mean;
  double* sums;  // [groups][channels][2]
  int relu;
};

// Adds other readers' gradients of a channel to its row `grad`.
INLINE void add_more(const Term& more, int64_t group, int c, int y, int width, Floats* grad) {
  if (!more.maps || y % more.step) return;
  const int64_t row = (group * more.height + y / more.step) * more.channels + c + more.first;
  const Stored* from = more.maps + row * more.width * kLanes;
  if (more.step == 1)
    for (int x = 0; x < width; ++x) grad[x] += load(from + x * kLanes);
  else
    for (int x = 0; x < width; x += more.step, from += kLanes) grad[x] += load(from);
}

// A gradient row [channels][width] in `raw` of values value(channel, x); sums go into lanes.
template <typename Value>
INLINE void close_row(const Closing& closing, const Sizes sizes, int64_t group, int y, Floats* raw,
                      Value value, Floats* lanes) {
  const int64_t start = sizes.row(group, y), line = int64_t(sizes.width) * kLanes;
  const bool masks = closing.relu, sums = closing.sums;
  for (int c = 0; c < sizes.channels; ++c) {
    Floats* grad = raw + c * sizes.width;
    Stored* to = closing.grads + start + c * line;
    const Stored* output = closing.outputs + start + c * line;
    for (const Term& more : closing.more) add_more(more, group, c, y, sizes.width, grad);
    const float mean = sums ? closing.mean[c] : 0;
    Floats sum = {}, product = {};
    const auto close = [&](auto with_mask, auto with_sums) {
      for (int x = 0; x < sizes.width; ++x) {
        Floats g = grad[x];
        if constexpr (with_mask.value) g = value(c, x) <= 0 ? Floats{} : g;
        save(to + x * kLanes, g);
        if constexpr (with_sums.value) {
          sum += g;
          product += g * (load(output + x * kLanes) - mean);
        }
      }
    };
    if (masks && sums) close(std::true_type{}, std::true_type{});
    else if (sums) close(std::false_type{}, std::true_type{});
    else if (masks) close(std::true_type{}, std::false_type{});
    else close(std::false_type{}, std::false_type{});
    if (!sums) continue;
    lanes[2 * c] += sum;
    lanes[2 * c + 1] += product;
  }
}

// Lanes [channels][2] of a group, added up.
inline void fold_sums(const Floats* lanes, int channels, int count, double* sums) {
  for (int i = 0; i < 2 * channels; ++i) sums[i] = sum_lanes(lanes[i], count);
}

}  // namespace
