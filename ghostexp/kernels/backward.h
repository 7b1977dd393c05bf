// The backward pass of a convolution or Ghost module: gradients of its inputs and of its weights.

#pragma once

#include "layers.h"
#include "norms.h"

namespace {

template <class L>
struct Backward {
  using S = Layer<L>;
  static constexpr int kRow = L::in_channels * L::in_width;
  static constexpr int kCheap = L::ghosts * S::kCheapFilter;
  static constexpr int kGradRow = S::kChannels * L::width;
  static constexpr int kRowPairs = (S::kRows + 1) / 2;
  static constexpr int kLine = S::Inputs::kPitch;
  static constexpr int64_t kPairedRows =
      BF16 ? kRowPairs * (L::kernel_size * L::in_channels * kLine + L::intrinsic * L::width) : 0;
  static constexpr int64_t kSize = S::Inputs::kSize + S::Grads::kSize + S::PrimaryGrads::kSize +
                                   S::Primary::kSize + kRow + 2 * L::in_channels + kCheap +
                                   kGradRow + kPairedRows;
  const Source& source;
  const NormGradient& gradient;
  const Closing& closing;
  const float *weights, *cheap_weights;
  typename S::Inputs inputs{scratch(kSize)};
  typename S::Grads grads{inputs.memory + S::Inputs::kSize};
  typename S::PrimaryGrads primary_grads{grads.memory + S::Grads::kSize};
  typename S::Primary primary{primary_grads.memory + S::PrimaryGrads::kSize};
  Floats* raw = primary.memory + S::Primary::kSize;  // [in_channels][in_width]
  Floats* lanes = raw + kRow;                        // [in_channels][2]
  Floats* cheap_lanes = lanes + 2 * L::in_channels;  // [ghosts][d * d]
  Floats* grad_row = cheap_lanes + kCheap;           // [channels][width]
  Floats* paired_rows = grad_row + kGradRow;         // of gradients, and of inputs for each ky
  Ahead ahead{};

  void clear() {
    inputs.clear();
    grads.clear();
    primary_grads.clear();
    primary.clear();
  }

  void run(int64_t group, int count, float* weight_sums, float* cheap_sums) {
    std::fill_n(lanes, 2 * L::in_channels + kCheap, Floats{});
    std::fill_n(weight_sums, S::kWeights, 0.0f);
    const Words mask = lanes_below(count);
    int loaded = 0, closed = 0;
    for (int y = 0; y < L::height + S::kBehind; ++y) {
      if (y < L::height) load_gradients(group, y, mask);
      const int ready = y - S::kBehind;  // the newest row of gradients of primary maps
      if (ready < 0) continue;
      if constexpr (L::ghosts > 0) cheap_row(ready);
      const bool is_last = ready == L::height - 1;
      for (; closed < L::in_height && (is_last || (closed + S::kPad) / L::stride <= ready); ++closed) {
        loaded = load_inputs(group, loaded, closed);
        ask_for(group, y + 1, loaded, closed + 1);
        if (closing.grads) input_gradients(group, closed);
      }
      if ((ready + 1) % S::kRows && !is_last) continue;
      loaded = load_inputs(group, loaded, std::min(L::in_height - 1, ready * L::stride + S::kPad));
      weight_gradients(ready - ready % S::kRows, ready + 1, weight_sums);
    }
    if (closing.sums)
      fold_sums(lanes, L::in_channels, count, closing.sums + group * 2 * L::in_channels);
    for (int i = 0; i < kCheap; ++i) cheap_sums[i] = float(sum_lanes(cheap_lanes[i], count));
  }

  // The rows that the next iteration works on.
  void ask_for(int64_t group, int y, int input, int closing_row) {
    ahead.clear();
    ahead.add(gradient.grads, S::kOutputs, group, y);
    ahead.add(gradient.outputs, S::kOutputs, group, y);
    ahead.add(source.kept ? source.kept : source.main.maps, S::kInputs, group, input);
    if (source.kept && closing.sums) ahead.add(closing.outputs, S::kInputs, group, closing_row);
    for (const Term& more : closing.more)
      if (more.step == 1) ahead.add(more, group, closing_row);
    ahead.add(closing.grads, S::kInputs, group, closing_row);
  }

  int load_inputs(int64_t group, int loaded, int last) {
    for (; loaded <= last; ++loaded)
      load_operands(source, S::kInputs, group, loaded, false, raw, inputs.row(loaded),
                    S::Inputs::kPitch);
    return loaded;
  }

  // Row y of the gradients of the layer's outputs, zero in lanes without an image.
  void load_gradients(int64_t group, int y, const Words& mask) {
    constexpr bool kIsDirect = L::ghosts > 0;
    constexpr int kPitch = kIsDirect ? S::Grads::kPitch : L::width;
    Floats* to = kIsDirect ? grads.row(y) : grad_row;
    const int64_t start = S::kOutputs.row(group, y);
    for (int c = 0; c < S::kChannels; ++c) {
      const Stored* outputs = gradient.outputs + start + c * L::width * kLanes;
      const Stored* given = gradient.grads + start + c * L::width * kLanes;
      const float by_grad = gradient.by_grad[c], by_output = gradient.by_output[c];
      const float mean = gradient.mean[c], offset = gradient.offset[c];
      for (int x = 0; x < L::width; ++x) {
        const Floats output = load(outputs + x * kLanes);
        const Floats value =
            load(given + x * kLanes) * by_grad + ((output - mean) * by_output + offset);
        to[c * kPitch + x] = (Floats)((Words)value & mask);
        if (L::ghosts && c < L::intrinsic)
          primary.row(y)[c * S::Primary::kPitch + x] = (Floats)((Words)output & mask);
      }
    }
    if (!kIsDirect)
      to_operands(grad_row, L::intrinsic, L::width, primary_grads.row(y), S::PrimaryGrads::kPitch);
  }

  // Gradients of primary maps through the cheap operation, and of its weights.
  void cheap_row(int y) {
    constexpr int kSize = L::cheap_kernel_size;
    for (int m = 0; m < L::intrinsic; ++m)
      std::copy_n(grads.row(y) + m * S::Grads::kPitch, L::width, grad_row + m * L::width);
    for (int ghost = 0; ghost < L::ghosts; ++ghost) {
      const int m = ghost / L::ghosts_each, channel = (L::intrinsic + ghost) * S::Grads::kPitch;
      const Floats *rows[kSize], *maps[kSize];
      for (int ky = 0; ky < kSize; ++ky) {
        const int from = y + ky - S::kCheapPad;
        rows[ky] = grads.row_or_zeros(from, L::height) - S::kCheapPad + channel;
        maps[ky] = primary.row_or_zeros(from, L::height) - S::kCheapPad + m * S::Primary::kPitch;
      }
      float turned[S::kCheapFilter];
      std::reverse_copy(cheap_weights + ghost * S::kCheapFilter,
                        cheap_weights + (ghost + 1) * S::kCheapFilter, turned);
      Floats* to = grad_row + m * L::width;
      for_pieces<L::width, 4>([&](int x, auto columns) {
        Floats sums[columns.kValue];
        for (int j = 0; j < columns.kValue; ++j) sums[j] = to[x + j];
        depthwise<kSize, columns.kValue>(rows, turned, x, sums);
        for (int j = 0; j < columns.kValue; ++j) to[x + j] = sums[j];
      });
      cheap_weight_gradients(grads.row(y) + channel, maps, cheap_lanes + ghost * S::kCheapFilter);
    }
    to_operands(grad_row, L::intrinsic, L::width, primary_grads.row(y), S::PrimaryGrads::kPitch);
  }

  void cheap_weight_gradients(const Floats* given, const Floats* const* maps, Floats* to) {
    constexpr int kSize = L::cheap_kernel_size, kRowsAtOnce = kSize <= 3 ? kSize : 1;
    for (int first = 0; first < kSize; first += kRowsAtOnce) {
      Floats sums[kRowsAtOnce][kSize] = {};
      for (int x = 0; x < L::width; ++x)
#pragma GCC unroll 3
        for (int ky = 0; ky < kRowsAtOnce; ++ky)
#pragma GCC unroll 7
          for (int kx = 0; kx < kSize; ++kx) sums[ky][kx] += given[x] * maps[first + ky][x + kx];
      for (int i = 0; i < kRowsAtOnce * kSize; ++i)
        to[first * kSize + i] += sums[i / kSize][i % kSize];
    }
  }

  void input_gradients(int64_t group, int y) {
    if (L::stride > L::kernel_size) std::fill_n(raw, kRow, Floats{});  // some pixels were not read
    for_parities<L>([&](auto row, auto column, int64_t start) {
      using Rows = Taps<L::kernel_size, L::stride, row.kValue>;
      using Columns = Taps<L::kernel_size, L::stride, column.kValue>;
      constexpr int kWidth = (L::in_width - column.kValue + L::stride - 1) / L::stride;
      if constexpr (Rows::kCount * Columns::kCount > 0 && kWidth > 0) {
        if (y % L::stride != row.kValue) return;
        const Floats* rows[Rows::kCount];
        for (int r = 0; r < Rows::kCount; ++r) {
          constexpr int kBefore = L::stride == 1 ? S::kPad : 0;
          rows[r] = primary_grads.row_or_zeros(y / L::stride + r - kBefore, L::height) - kBefore;
        }
        convolve_row<paired(L::intrinsic), S::PrimaryGrads::kPitch, Rows::kCount, Columns::kCount,
                     1, L::in_channels, kWidth, L::in_width, L::stride>(rows, weights + start,
                                                                       raw + column.kValue, ahead);
      }
    });
    const Floats* values = inputs.row(y);
    close_row(closing, S::kInputs, group, y, raw,
              [&](int c, int x) { return channel_of(values, c, S::Inputs::kPitch, x); }, lanes);
  }

  // Adds the gradients of weights from output rows [begin, end).
  void weight_gradients(int begin, int end, float* sums) {
    const Floats *given[S::kRows], *values[L::kernel_size][S::kRows];
    for (int y = begin; y < end; ++y) {
      given[y - begin] = primary_grads.row(y);
      for (int ky = 0; ky < L::kernel_size; ++ky)
        values[ky][y - begin] =
            inputs.row_or_zeros(y * L::stride + ky - S::kPad, L::in_height) - S::kPad;
    }
#if BF16
    const int rows = pair_all_rows(end - begin, given, values);
    constexpr int kGiven = L::width;
#else
    const int rows = end - begin;
    constexpr int kGiven = S::PrimaryGrads::kPitch;
#endif
    for_pieces<L::intrinsic, kOutputs>([&](int first, auto block) {
      constexpr int kBlock = decltype(block)::kValue;
      float* to = sums + first * L::in_channels * S::kFilter;
      for (int c = 0; c < L::in_channels; ++c)
        for (int ky = 0; ky < L::kernel_size; ++ky) {
          weight_tile<L::kernel_size, L::stride, kBlock, L::width, kGiven>(
              values[ky], c * kLine, given, first * kGiven, rows, to);
          to += L::kernel_size * kBlock;
        }
    });
  }

#if BF16
  // Replaces rows by pairs of neighbours; a last row without a neighbour is paired with zeros.
  int pair_all_rows(int count, const Floats** given, const Floats* (*values)[S::kRows]) {
    Floats* to = paired_rows;
    for (int pair = 0; pair < (count + 1) / 2; ++pair) {
      const int first = 2 * pair, second = first + 1;
      const Floats* zeros = primary_grads.row_or_zeros(-1, L::height);
      pair_rows(given[first], second < count ? given[second] : zeros, L::intrinsic,
                S::PrimaryGrads::kPitch, L::width, to);
      given[pair] = to;
      to += L::intrinsic * L::width;
      for (int ky = 0; ky < L::kernel_size; ++ky) {
        const Floats* other = second < count ? values[ky][second]
                                             : inputs.row_or_zeros(-1, L::in_height) - S::kPad;
        pair_rows(values[ky][first], other, L::in_channels, kLine, kLine, to);
        values[ky][pair] = to;
        to += L::in_channels * kLine;
      }
    }
    return (count + 1) / 2;
  }
#endif
};

// Adds the groups' gradients of weights in their order, and brings them into torch's.
template <class L>
void add_groups(const float* sums, int64_t groups, float* weight_grads) {
  constexpr int kWeights = Layer<L>::kWeights, kFilter = L::kernel_size * L::kernel_size;
#pragma omp for schedule(static)
  for (int first = 0; first < L::intrinsic; first += kOutputs) {
    const int block = std::min(kOutputs, L::intrinsic - first);
    const float* from = sums + int64_t(first) * L::in_channels * kFilter;
    for (int i = 0; i < L::in_channels * kFilter; ++i)
      for (int o = 0; o < block; ++o, ++from) {
        double sum = 0;
        for (int64_t group = 0; group < groups; ++group) sum += from[group * kWeights];
        weight_grads[int64_t(first + o) * L::in_channels * kFilter + i] = float(sum);
      }
  }
}

// Gradients of a layer's inputs (see Closing) and weights; `sums` is memory for
// [groups][intrinsic * in_channels * k * k] and then [groups][ghosts * d * d] values.
template <class L>
void backward(const Source& source, const NormGradient& gradient, const Closing& closing,
              const float* packed, const float* cheap_weights, float* sums, float* weight_grads,
              float* cheap_grads, int64_t images, int threads) {
  constexpr int kCheap = Backward<L>::kCheap;
  const int64_t groups = groups_of(images);
  float* cheap_sums = sums + groups * Layer<L>::kWeights;
#pragma omp parallel num_threads(threads)
  {
    Backward<L> thread{source, gradient, closing, packed, cheap_weights};
    thread.clear();
#pragma omp for schedule(dynamic, 1)
    for (int64_t group = 0; group < groups; ++group)
      thread.run(group, images_in(group, images), sums + group * Layer<L>::kWeights,
                 cheap_sums + group * kCheap);
    add_groups<L>(sums, groups, weight_grads);
  }
  for (int i = 0; i < kCheap; ++i) {
    double sum = 0;
    for (int64_t group = 0; group < groups; ++group) sum += cheap_sums[group * kCheap + i];
    cheap_grads[i] = float(sum);
  }
}

}  // namespace
