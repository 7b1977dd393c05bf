// Layers of a network over a group of images at once: lane l of a vector is image l.
//
// Maps lie as [channels][height + 2][width + 2] vectors with a border of zeros, so that a vector is
// full whatever the channels and a 3x3 convolution needs no case at the edge. A convolution goes row
// by row: a tile of channels x columns stays in registers over all taps. In a Ghost module
// ("GhostNet", Han et al. 2020) the raw primary rows go into a ring as tall as the cheap kernel,
// which the cheap operation reads while they are hot; both halves are stored once, at their place in
// the output, with batch norm, residual and ReLU applied.
//
// Struct parameters `L` hold a layer's sizes as constants; generated code defines them.

#include <algorithm>
#include <limits>

#include "groups.h"
#include "pieces.h"

namespace {

constexpr int kColumns = kBytes == 64 ? 4 : 2;  // channels x columns hold sums in registers

// What is added to `count` channels from channel `first` on: every `row_step`-th row and
// `column_step`-th column of other maps.
struct Residual {
  const Floats* maps;
  int first, count, height, width, row_step, column_step;

  const Floats* row(int channel, int y) const {
    if (channel < first || channel >= first + count) return nullptr;
    return maps + ((channel - first) * (height + 2) + y * row_step + 1) * (width + 2) + 1;
  }
};
constexpr Residual kNoResidual = {nullptr, 0, 0, 0, 0, 0, 0};

// The end of a layer: values of one channel and row, from column x on, to their place.
template <class L>
struct Output {
  Floats* maps;
  Residual residual;
  float floor;  // 0 is ReLU, minus infinity none

  template <int columns>
  void put(int channel, int y, int x, const Floats (&values)[columns]) const {
    Floats* to = maps + (channel * (L::height + 2) + y + 1) * (L::width + 2) + x + 1;
    const Floats* more = residual.row(channel, y);
#pragma GCC unroll 16
    for (int j = 0; j < columns; ++j) {
      Floats value = values[j];
      if (more) value += more[(x + j) * residual.column_step];
      to[j] = value < floor ? Floats{} + floor : value;  // not a number stays what it is
    }
  }
};

// sums[i][j] += one block of primary filters, [in_channels][k][k][channels], at column j.
template <class L, int channels, int columns>
inline void add_filters(const Floats* from, const float* filters,
                        Floats (&sums)[channels][columns]) {
  constexpr int kRow = L::in_width + 2, kTaps = L::kernel_size;
  for (int c = 0; c < L::in_channels; ++c) {
#pragma GCC unroll 3
    for (int ky = 0; ky < kTaps; ++ky)
#pragma GCC unroll 3
      for (int kx = 0; kx < kTaps; ++kx)
#pragma GCC unroll 16
        for (int i = 0; i < channels; ++i) {
          const float weight = filters[(ky * kTaps + kx) * channels + i];
#pragma GCC unroll 16
          for (int j = 0; j < columns; ++j)
            sums[i][j] += from[ky * kRow + kx + j * L::stride] * weight;
        }
    from += (L::in_height + 2) * kRow;
    filters += kTaps * kTaps * channels;
  }
}

// The raw primary rows of a Ghost module, [intrinsic][d + 1][width + d - 1]; the last row of a
// channel stays zero and stands for rows outside of the image.
template <class L>
struct Ring {
  static constexpr int kBorder = L::cheap_kernel_size / 2, kSlots = L::cheap_kernel_size + 1;
  static constexpr int kRow = L::width + 2 * kBorder;
  Floats* rows;

  Floats* row(int channel, int y) const {
    const int slot = y >= 0 && y < L::height ? y % L::cheap_kernel_size : L::cheap_kernel_size;
    return rows + (channel * kSlots + slot) * kRow;
  }
};

// A layer's weights in the order of memory.
template <class L>
struct Weights {
  static constexpr int kFilter = L::in_channels * L::kernel_size * L::kernel_size;
  const float* filters;                              // in blocks of L::block channels
  const float* bias = filters + L::intrinsic * kFilter;
  const float* scale = bias + L::intrinsic;          // of the primary half where it is stored
  const float* shift = scale + L::intrinsic;
  const float* cheap_filters = shift + L::intrinsic;  // [ghosts][d * d]
  const float* cheap_bias = cheap_filters + L::ghosts * L::cheap_kernel_size * L::cheap_kernel_size;
};

template <class L, int channels, int columns>
inline void primary_tile(const Floats* in, const Weights<L>& weights, const Output<L>& out,
                         const Ring<L>& ring, int first, int y, int x) {
  constexpr int kOffset = 1 - L::kernel_size / 2;
  const Floats* from =
      in + (y * L::stride + kOffset) * (L::in_width + 2) + x * L::stride + kOffset;
  Floats sums[channels][columns];
#pragma GCC unroll 16
  for (int i = 0; i < channels; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < columns; ++j) sums[i][j] = Floats{} + weights.bias[first + i];
  add_filters<L>(from, weights.filters + first * Weights<L>::kFilter, sums);
#pragma GCC unroll 16
  for (int i = 0; i < channels; ++i) {
    const int channel = first + i;
    if constexpr (L::ghosts > 0) {
      Floats* raw = ring.row(channel, y) + Ring<L>::kBorder + x;
#pragma GCC unroll 16
      for (int j = 0; j < columns; ++j) {
        raw[j] = sums[i][j];
        sums[i][j] = sums[i][j] * weights.scale[channel] + weights.shift[channel];
      }
    }
    out.put(channel, y, x, sums[i]);
  }
}

template <class L>
inline void primary_row(const Floats* in, const Weights<L>& weights, const Output<L>& out,
                        const Ring<L>& ring, int y) {
  for_pieces<L::width, kColumns>([&](int x, auto columns) {
    for_pieces<L::intrinsic, L::block>([&](int first, auto channels) {
      primary_tile<L, decltype(channels)::kValue, decltype(columns)::kValue>(in, weights, out, ring,
                                                                            first, y, x);
    });
  });
}

template <class L>
inline void cheap_row(const Weights<L>& weights, const Output<L>& out, const Ring<L>& ring, int y) {
  constexpr int kTaps = L::cheap_kernel_size;
  for (int ghost = 0; ghost < L::ghosts; ++ghost) {
    const Floats* rows[kTaps];
    for (int ky = 0; ky < kTaps; ++ky)
      rows[ky] = ring.row(ghost / L::ghosts_each, y + ky - kTaps / 2);
    const float* filter = weights.cheap_filters + ghost * kTaps * kTaps;
    for_pieces<L::width, 2 * kColumns>([&](int x, auto columns) {
      Floats sums[decltype(columns)::kValue];
      for (auto& sum : sums) sum = Floats{} + weights.cheap_bias[ghost];
#pragma GCC unroll 7
      for (int ky = 0; ky < kTaps; ++ky)
#pragma GCC unroll 7
        for (int kx = 0; kx < kTaps; ++kx)
#pragma GCC unroll 8
          for (int j = 0; j < decltype(columns)::kValue; ++j)
            sums[j] += rows[ky][x + kx + j] * filter[ky * kTaps + kx];
      out.put(L::intrinsic + ghost, y, x, sums);
    });
  }
}

// Convolution, Ghost module or (on one pixel) linear layer.
template <class L>
__attribute__((noinline)) void conv(const Floats* in, Floats* maps, Floats* ring_rows,
                                    const float* filters, const Residual& residual, bool relu) {
  const Weights<L> weights{filters};
  const Output<L> out{maps, residual, relu ? 0 : -std::numeric_limits<float>::infinity()};
  const Ring<L> ring{ring_rows};
  if constexpr (L::ghosts == 0) {
    for (int y = 0; y < L::height; ++y) primary_row(in, weights, out, ring, y);
  } else {
    constexpr int kBehind = L::cheap_kernel_size / 2;  // rows that the cheap operation waits for
    std::fill_n(ring_rows, L::intrinsic * Ring<L>::kSlots * Ring<L>::kRow, Floats{});
    for (int y = 0; y < L::height + kBehind; ++y) {
      if (y < L::height) primary_row(in, weights, out, ring, y);
      if (y >= kBehind) cheap_row(weights, out, ring, y - kBehind);
    }
  }
}

}  // namespace

extern "C" const int lanes = kLanes;
