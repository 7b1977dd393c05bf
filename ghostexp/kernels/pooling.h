// Images into groups, and poolings, forward and backward.

#pragma once

#include "grouped_maps.h"

// [images][c][h][w] -> grouped maps; lanes without an image hold zeros.
extern "C" void group_images(const float* images, Stored* maps, Sizes sizes, int64_t count,
                             int threads) {
  const int64_t plane = int64_t(sizes.height) * sizes.width, image = sizes.channels * plane;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int64_t group = 0; group < groups_of(count); ++group)
    for (int y = 0; y < sizes.height; ++y)
      for (int c = 0; c < sizes.channels; ++c)
        for (int x = 0; x < sizes.width; ++x) {
          Floats pixel = {};
          for (int lane = 0; lane < images_in(group, count); ++lane)
            pixel[lane] = images[(group * kLanes + lane) * image + c * plane + y * sizes.width + x];
          save(maps + sizes.row(group, y) + (c * sizes.width + x) * kLanes, pixel);
        }
}

// The mean of each channel, [images][channels].
extern "C" void mean_pool(const Source* source, Sizes sizes, float* means, int64_t images,
                          int threads) {
  const int channels = sizes.channels, width = sizes.width;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int64_t group = 0; group < groups_of(images); ++group) {
    Floats* row = scratch(channels * (width + 1));
    Floats* sums = row + channels * width;
    std::fill_n(sums, channels, Floats{});
    for (int y = 0; y < sizes.height; ++y) {
      load_row(*source, sizes, group, y, true, row, width);
      for (int c = 0; c < channels; ++c)
        for (int x = 0; x < width; ++x) sums[c] += row[c * width + x];
    }
    for (int lane = 0; lane < images_in(group, images); ++lane)
      for (int c = 0; c < channels; ++c)
        means[(group * kLanes + lane) * channels + c] = sums[c][lane] / (sizes.height * width);
  }
}

extern "C" void mean_pool_backward(const Source* source, Sizes sizes, const float* grads,
                                   const Closing* closing, int64_t images, int threads) {
  const int channels = sizes.channels, width = sizes.width;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int64_t group = 0; group < groups_of(images); ++group) {
    Floats* row = scratch(channels * (2 * width + 3));
    Floats *raw = row + channels * width, *lanes = raw + channels * width;
    Floats* given = lanes + 2 * channels;
    std::fill_n(lanes, 3 * channels, Floats{});
    const int count = images_in(group, images);
    for (int lane = 0; lane < count; ++lane)
      for (int c = 0; c < channels; ++c)
        given[c][lane] =
            grads[(group * kLanes + lane) * channels + c] / float(sizes.height * width);
    for (int y = 0; y < sizes.height; ++y) {
      load_row(*source, sizes, group, y, false, row, width);
      for (int c = 0; c < channels; ++c) std::fill_n(raw + c * width, width, given[c]);
      close_row(*closing, sizes, group, y, raw, [&](int c, int x) { return row[c * width + x]; },
                lanes);
    }
    if (closing->sums) fold_sums(lanes, channels, count, closing->sums + group * 2 * channels);
  }
}

namespace {

constexpr int kMaxWindow = 8;

// The place in a window [window][window] of its largest value: the first, and not a number wins.
INLINE void largest(const Floats* const* rows, int x, int window, Floats& best, Words& place) {
  best = rows[0][x];
  place = Words{};
  for (int i = 1; i < window * window; ++i) {
    const Floats value = rows[i / window][x + i % window];
    const Words wins = (Words)((value > best) | (value != value));
    best = (Floats)(((Words)value & wins) | ((Words)best & ~wins));
    place = ((Words{} + uint32_t(i)) & wins) | (place & ~wins);
  }
}

}  // namespace

// The largest of `window` x `window` values, every `window` pixels.
extern "C" void max_pool(const Source* source, Sizes sizes, int window, Stored* outputs,
                         int64_t images, int threads) {
  const Sizes to{sizes.channels, sizes.height / window, sizes.width / window};
  const int row = sizes.channels * sizes.width;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int64_t group = 0; group < groups_of(images); ++group) {
    Floats* memory = scratch(int64_t(window) * row);
    for (int y = 0; y < sizes.height; ++y) {
      load_row(*source, sizes, group, y, true, memory + y % window * row, sizes.width);
      if (y % window < window - 1) continue;
      for (int c = 0; c < sizes.channels; ++c) {
        const Floats* rows[kMaxWindow];
        for (int ky = 0; ky < window; ++ky) rows[ky] = memory + ky * row + c * sizes.width;
        for (int x = 0; x < to.width; ++x) {
          Floats best;
          Words place;
          largest(rows, x * window, window, best, place);
          save(outputs + to.row(group, y / window) + (c * to.width + x) * kLanes, best);
        }
      }
    }
  }
}

extern "C" void max_pool_backward(const Source* source, Sizes sizes, int window,
                                  const Stored* grads, const Closing* closing, int64_t images,
                                  int threads) {
  const Sizes from{sizes.channels, sizes.height / window, sizes.width / window};
  const int row = sizes.channels * sizes.width;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int64_t group = 0; group < groups_of(images); ++group) {
    Floats* memory = scratch(2 * int64_t(window) * row + 2 * sizes.channels);
    Floats *raw = memory + window * row, *lanes = raw + window * row;
    std::fill_n(lanes, 2 * sizes.channels, Floats{});
    for (int first = 0; first < sizes.height; first += window) {
      const int rows_here = std::min(window, sizes.height - first);
      std::fill_n(raw, window * row, Floats{});
      for (int ky = 0; ky < rows_here; ++ky)
        load_row(*source, sizes, group, first + ky, false, memory + ky * row, sizes.width);
      for (int c = 0; c < sizes.channels && rows_here == window; ++c) {
        const Floats* rows[kMaxWindow];
        for (int ky = 0; ky < window; ++ky) rows[ky] = memory + ky * row + c * sizes.width;
        for (int x = 0; x < from.width; ++x) {
          Floats best;
          Words place;
          largest(rows, x * window, window, best, place);
          const Words grad = (Words)load(grads + from.row(group, first / window) +
                                         (c * from.width + x) * kLanes);
          for (int i = 0; i < window * window; ++i)
            raw[i / window * row + c * sizes.width + x * window + i % window] =
                (Floats)(grad & (Words)(place == uint32_t(i)));
        }
      }
      for (int ky = 0; ky < rows_here; ++ky)
        close_row(*closing, sizes, group, first + ky, raw + ky * row,
                  [&](int c, int x) { return memory[ky * row + c * sizes.width + x]; }, lanes);
    }
    if (closing->sums)
      fold_sums(lanes, sizes.channels, images_in(group, images),
                closing->sums + group * 2 * sizes.channels);
  }
}
