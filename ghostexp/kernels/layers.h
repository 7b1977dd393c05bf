// A layer of a training step: its sizes, the rings that it works in, and the order of its weights.

#pragma once

#include "conv_tiles.h"

namespace {

template <class L>
struct Layer {
  static constexpr int kPad = L::kernel_size / 2, kCheapPad = L::cheap_kernel_size / 2;
  static constexpr int kChannels = L::intrinsic + L::ghosts;  // of the outputs
  static constexpr int kBehind = L::ghosts ? kCheapPad : 0;   // rows that ghosts wait for
  static constexpr Sizes kInputs = {L::in_channels, L::in_height, L::in_width};
  static constexpr Sizes kOutputs = {kChannels, L::height, L::width};
  static constexpr int kFilter = L::kernel_size * L::kernel_size;
  static constexpr int kCheapFilter = L::cheap_kernel_size * L::cheap_kernel_size;
  static constexpr int kWeights = L::intrinsic * L::in_channels * kFilter;

  // Rows whose gradients of weights are summed at once.
  static constexpr int kRows = L::height <= 8 ? L::height : L::width >= 32 ? 4 : 8;
  static constexpr int kInputSlots = power_of_two(
      L::stride * (kRows - 1) + kPad + (kPad > L::stride - 1 ? kPad : L::stride - 1) + 1);
  using Inputs = Ring<paired(L::in_channels), L::in_width, kPad, kInputSlots>;
  using Primary = Ring<L::intrinsic, L::width, kCheapPad, power_of_two(2 * kCheapPad + 1)>;
  using Grads = Ring<kChannels, L::width, kCheapPad, power_of_two(2 * kCheapPad + 1)>;
  using PrimaryGrads = Ring<paired(L::intrinsic), L::width, kPad, power_of_two(kRows < 3 ? 3 : kRows)>;
};

// Row y of a source as operands; `row` is memory for [channels][width].
INLINE void load_operands(const Source& source, const Sizes sizes, int64_t group, int y,
                          bool is_first, Floats* row, Floats* to, int pitch) {
  if (kPair == 1) return load_row(source, sizes, group, y, is_first, to, pitch);
  load_row(source, sizes, group, y, is_first, row, sizes.width);
  to_operands(row, sizes.channels, sizes.width, to, pitch);
}

// The taps of a gradient of inputs for rows (or columns) y with y % stride == parity, in the order
// of the output rows that they read, which are neighbours.
template <int size, int stride, int parity>
struct Taps {
  static constexpr int kCount = size == 1 ? (parity == 0) : stride == 1 ? size : 1 + parity;
  static constexpr int kTaps[3] = {
      size == 1 ? 0 : stride == 1 ? 2 : parity == 0 ? 1 : 2, stride == 1 ? 1 : 0, 0};
};

// each(Constant<row parity>, Constant<column parity>, where the class's weights begin).
template <class L, typename Each>
INLINE void for_parities(Each each) {
  int64_t start = 0;
  const auto visit = [&](auto row, auto column) {
    constexpr int kCount = Taps<L::kernel_size, L::stride, row.kValue>::kCount *
                           Taps<L::kernel_size, L::stride, column.kValue>::kCount;
    each(row, column, start);
    start += int64_t(paired(L::intrinsic)) * L::in_channels * kCount;
  };
  visit(Constant<0>{}, Constant<0>{});
  if constexpr (L::stride == 2) {
    visit(Constant<0>{}, Constant<1>{});
    visit(Constant<1>{}, Constant<0>{});
    visit(Constant<1>{}, Constant<1>{});
  }
}

template <class L>
void pack(const Filters& filters, float* ahead, float* back, int threads) {
  constexpr int kAll[3] = {0, 1, 2};
#pragma omp parallel num_threads(threads)
  {
    pack_weights(filters, L::intrinsic, L::in_channels, false, kAll, L::kernel_size, kAll,
                 L::kernel_size, ahead);
    for_parities<L>([&](auto row, auto column, int64_t start) {
      using Rows = Taps<L::kernel_size, L::stride, row.kValue>;
      using Columns = Taps<L::kernel_size, L::stride, column.kValue>;
      pack_weights(filters, L::intrinsic, L::in_channels, true, Rows::kTaps, Rows::kCount,
                   Columns::kTaps, Columns::kCount, back + start);
    });
  }
}

}  // namespace
