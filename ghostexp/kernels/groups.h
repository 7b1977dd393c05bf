// Images in groups, one in each lane of a vector, and what computes every channel alone: pooling.
//
// Maps lie as [channels][height + 2][width + 2] vectors with a border of zeros.

#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "vectors.h"

namespace {

constexpr int kLanes = kVector;

struct Sizes {
  int channels, height, width;
};

// each(channel, y, x, index) over maps, `index` counting vectors.
template <typename Each>
inline void for_pixels(const Sizes& sizes, Each each) {
  for (int c = 0; c < sizes.channels; ++c)
    for (int y = 0; y < sizes.height; ++y)
      for (int x = 0; x < sizes.width; ++x)
        each(c, y, x, (c * (sizes.height + 2) + y + 1) * (sizes.width + 2) + x + 1);
}

// The largest of `window` x `window` values every `stride` pixels; not a number wins.
void max_pool(const Floats* in, Floats* maps, const Sizes& from, const Sizes& to, int window,
              int stride) {
  for_pixels(to, [&](int c, int y, int x, int64_t index) {
    Floats best = Floats{} - std::numeric_limits<float>::infinity();
    for (int ky = 0; ky < window; ++ky)
      for (int kx = 0; kx < window; ++kx) {
        const int row = c * (from.height + 2) + y * stride + ky + 1;
        const Floats value = in[row * (from.width + 2) + x * stride + kx + 1];
        best = (value > best) | (value != value) ? value : best;
      }
    maps[index] = best;
  });
}

// The mean of each channel, to maps of one pixel.
void mean_pool(const Floats* in, Floats* maps, const Sizes& from) {
  for (int c = 0; c < from.channels; ++c) maps[c * 9 + 4] = Floats{};
  for_pixels(from, [&](int c, int, int, int64_t index) { maps[c * 9 + 4] += in[index]; });
  for (int c = 0; c < from.channels; ++c) maps[c * 9 + 4] /= float(from.height * from.width);
}

// [count, c, h, w] of at most kLanes images -> maps; lanes without an image hold zeros.
void pack(const float* images, Floats* maps, const Sizes& sizes, int count) {
  const int64_t image = int64_t(sizes.channels) * sizes.height * sizes.width;
  for_pixels(sizes, [&](int, int, int, int64_t index) {
    Floats pixel = {};
    for (int lane = 0; lane < count; ++lane) pixel[lane] = images[lane * image];
    maps[index] = pixel;
    ++images;
  });
}

// Maps -> [count, c, h, w].
void unpack(const Floats* maps, float* outputs, const Sizes& sizes, int count) {
  const int64_t image = int64_t(sizes.channels) * sizes.height * sizes.width;
  for_pixels(sizes, [&](int, int, int, int64_t index) {
    for (int lane = 0; lane < count; ++lane) outputs[lane * image] = maps[index][lane];
    ++outputs;
  });
}

// All groups of images, shared out among the threads; each thread has a workspace of its own, where
// `network` finds packed images at vector `from` and leaves its outputs at vector `to`.
template <typename Network>
void run_groups(const float* images, const Sizes& in, float* outputs, const Sizes& out,
                int64_t count, Floats* const* workspaces, int threads, int from, int to,
                Network network) {
  const int64_t in_size = int64_t(in.channels) * in.height * in.width;
  const int64_t out_size = int64_t(out.channels) * out.height * out.width;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t first = 0; first < count; first += kLanes) {
    const int lanes = int(std::min<int64_t>(kLanes, count - first));
    Floats* workspace = workspaces[omp_get_thread_num()];
    pack(images + first * in_size, workspace + from, in, lanes);
    network(workspace);
    unpack(workspace + to, outputs + first * out_size, out, lanes);
  }
}

}  // namespace
