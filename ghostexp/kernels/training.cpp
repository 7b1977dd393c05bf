// A training step of a network: convolutions and Ghost modules, forward and backward, with batch
// norms, ReLU and residuals computed while rows are loaded and stored.
//
// Threads share out groups of images. Every sum over images goes to one place per group, and the
// groups are added in their order in float64, so the bits do not depend on the number of threads.
//
// Struct parameters `L` hold a layer's sizes as constants; generated code defines them.

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "conv_tiles.h"
#include "norms.h"
#include "pooling.h"

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

template <class L>
struct Forward {
  using S = Layer<L>;
  static constexpr int kRow = (L::ghosts > 0 ? L::ghosts : L::intrinsic) * L::width;
  static constexpr int kInputRow = L::in_channels * L::in_width;
  static constexpr int kPrimaryPitch = L::ghosts > 0 ? S::Primary::kPitch : L::width;
  static constexpr int64_t kSize =
      S::Inputs::kSize + S::Primary::kSize + kRow + 2 * S::kChannels + kInputRow;
  const Source& source;
  Stored* outputs;
  const float *weights, *cheap_weights;
  typename S::Inputs inputs{scratch(kSize)};
  typename S::Primary primary{inputs.memory + S::Inputs::kSize};
  Floats* row = primary.memory + S::Primary::kSize;  // [channels][width]
  Floats* lanes = row + kRow;                        // [channels][2]
  Floats* input_row = lanes + 2 * S::kChannels;      // [in_channels][in_width]
  Ahead ahead{};

  void run(int64_t group, int count, double* moments) {
    float centre[S::kChannels];
    std::fill_n(lanes, 2 * S::kChannels, Floats{});
    int loaded = 0;
    for (int y = 0; y < L::height + S::kBehind; ++y) {
      if (y < L::height) {
        const int last = y == L::height - 1 ? L::in_height - 1
                                            : std::min(L::in_height - 1, y * L::stride + S::kPad);
        for (; loaded <= last; ++loaded)
          load_operands(source, S::kInputs, group, loaded, true, input_row, inputs.row(loaded),
                        S::Inputs::kPitch);
        ahead.clear();
        ahead.add(source.main.maps, S::kInputs, group, loaded);
        ahead.add(source.residual, group, loaded);
        ahead.add(source.kept, S::kInputs, group, loaded);
        ahead.add(outputs, S::kOutputs, group, y + 1);
        primary_row(y);
        finish(group, y, 0, L::intrinsic, primary_at(y), kPrimaryPitch, count, centre);
      }
      if (L::ghosts > 0 && y >= S::kBehind) {
        cheap_row(y - S::kBehind);
        finish(group, y - S::kBehind, L::intrinsic, S::kChannels, row, L::width, count, centre);
      }
    }
    fold_moments(lanes, centre, S::kChannels, count, int64_t(L::height) * L::width, moments);
  }

  void primary_row(int y) {
    const Floats* rows[L::kernel_size];
    for (int ky = 0; ky < L::kernel_size; ++ky)
      rows[ky] = inputs.row_or_zeros(y * L::stride + ky - S::kPad, L::in_height) - S::kPad;
    convolve_row<paired(L::in_channels), S::Inputs::kPitch, L::kernel_size, L::kernel_size,
                 L::stride, L::intrinsic, L::width, kPrimaryPitch, 1>(rows, weights, primary_at(y),
                                                                       ahead);
  }

  // The primary maps of a row: in the ring that the cheap operation reads, or in `row`.
  Floats* primary_at(int y) const { return L::ghosts > 0 ? primary.row(y) : row; }

  void cheap_row(int y) {
    for (int ghost = 0; ghost < L::ghosts; ++ghost) {
      const Floats* rows[L::cheap_kernel_size];
      for (int ky = 0; ky < L::cheap_kernel_size; ++ky)
        rows[ky] = primary.row_or_zeros(y + ky - S::kCheapPad, L::height) - S::kCheapPad +
                   ghost / L::ghosts_each * S::Primary::kPitch;
      const float* filter = cheap_weights + ghost * S::kCheapFilter;
      Floats* to = row + ghost * L::width;
      for_pieces<L::width, 4>([&](int x, auto columns) {
        Floats sums[columns.kValue] = {};
        depthwise<L::cheap_kernel_size, columns.kValue>(rows, filter, x, sums);
        for (int j = 0; j < columns.kValue; ++j) to[x + j] = sums[j];
      });
    }
  }

  // Stores channels of a row, and adds them to their moments.
  INLINE void finish(int64_t group, int y, int first, int end, const Floats* values, int pitch,
                     int count, float* centre) {
    Stored* to = outputs + S::kOutputs.row(group, y);
    for (int c = first; c < end; ++c, values += pitch) {
      if (y == 0) centre[c] = mean_of(values, L::width, count);
      Floats sum = {}, squares = {};
      for (int x = 0; x < L::width; ++x) {
        save(to + (c * L::width + x) * kLanes, values[x]);
        const Floats d = values[x] - centre[c];
        sum += d;
        squares += d * d;
      }
      lanes[2 * c] += sum;
      lanes[2 * c + 1] += squares;
    }
  }
};

// Outputs of a layer, and per group the mean and the squared deviations of every channel.
// `packed` is what pack_forward wrote.
template <class L>
void forward(const Source& source, Stored* outputs, const float* packed, const float* cheap_weights,
             double* moments, int64_t images, int threads) {
#pragma omp parallel num_threads(threads)
  {
    Forward<L> thread{source, outputs, packed, cheap_weights};
    thread.inputs.clear();
    thread.primary.clear();
#pragma omp for schedule(dynamic, 1)
    for (int64_t group = 0; group < groups_of(images); ++group)
      thread.run(group, images_in(group, images), moments + group * Layer<L>::kChannels * 2);
  }
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

extern "C" const int lanes = kLanes;

// Asks for pages of 2 MB, which cost fewer look-ups; where there are none, nothing changes.
extern "C" void use_large_pages(void* memory, int64_t bytes) {
#if defined(__linux__)
  madvise(memory, bytes, MADV_HUGEPAGE);
#endif
}

// `rounds` of 12 multiply-adds in each thread, and nothing else: the most that a kernel can reach.
extern "C" void multiply_adds(int64_t rounds, int threads, float* result) {
#pragma omp parallel num_threads(threads)
  {
    Floats sums[12], value = Floats{} + result[0], other = Floats{} + result[1];
#pragma GCC unroll 12
    for (int j = 0; j < 12; ++j) sums[j] = Floats{};
    for (int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 12
      for (int j = 0; j < 12; ++j) {
        sums[j] = multiply_add(sums[j], value, other);
        pin(sums[j]);
      }
    Floats sum = {};
#pragma GCC unroll 12
    for (int j = 0; j < 12; ++j) sum += sums[j];
#pragma omp critical
    result[2] += float(sum_lanes(sum, kLanes));
  }
}

extern "C" const int pair = kPair;

#define LAYER(index, L)                                                                          \
  extern "C" void pack_##index(const float* weights, int64_t by_output, int64_t by_channel,      \
                               int64_t by_row, int64_t by_column, float* ahead, float* back,     \
                               int threads) {                                                    \
    pack<L>({weights, by_output, by_channel, by_row, by_column}, ahead, back, threads);          \
  }                                                                                              \
  extern "C" void forward_##index(const Source* source, Stored* outputs, const float* packed,    \
                                  const float* cheap_weights, double* moments, int64_t images,   \
                                  int threads) {                                                 \
    forward<L>(*source, outputs, packed, cheap_weights, moments, images, threads);               \
  }                                                                                              \
  extern "C" void backward_##index(                                                              \
      const Source* source, const NormGradient* gradient, const Closing* closing,                \
      const float* packed, const float* cheap_weights, float* sums, float* weight_grads,         \
      float* cheap_grads, int64_t images, int threads) {                                         \
    backward<L>(*source, *gradient, *closing, packed, cheap_weights, sums, weight_grads,         \
                cheap_grads, images, threads);                                                   \
  }
