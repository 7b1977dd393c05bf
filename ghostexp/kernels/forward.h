// The forward pass of a convolution or Ghost module, with the moments of its outputs.

#pragma once

#include "layers.h"
#include "norms.h"

namespace {

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

}  // namespace
