// The cheap operation and the concatenation of a bare Ghost module in one pass, for the CPU.
//
// Compiled once per module shape: INTRINSIC maps become OUTPUTS maps, the ghosts among them by SIZE x
// SIZE kernels, PER_INTRINSIC for each intrinsic map. Maps are channels_last: rows of pixels, [W, C].
//
// A row of the intrinsic map is read once into a line of float32, each channel repeated for every
// ghost that is made from it, with kRadius pixels of zeros at both ends; the SIZE lines that a row of
// ghosts needs stay in the cache. A line is kGhosts * W values without a gap, and the taps of the
// cheap kernels are repeated along it, so that vectors are full however few channels there are.
//
// Backward: the gradient of the intrinsic maps is the same operation with mirrored taps, and that
// of a tap is a sum of products of two lines. Those sums are kept per image and added in the
// images' order in float64: the bits depend on no thread count.

#include <algorithm>
#include <numeric>
#include <vector>

#include "vectors.h"

namespace {

constexpr int64_t kIntrinsic = INTRINSIC, kOutputs = OUTPUTS, kPer = PER_INTRINSIC, kSize = SIZE;
constexpr int64_t kGhosts = kOutputs - kIntrinsic;  // those that are kept
constexpr int64_t kUsed = (kGhosts + kPer - 1) / kPer;  // intrinsic maps of which a ghost is made
constexpr int64_t kRadius = kSize / 2, kTaps = kSize * kSize;
constexpr int64_t kPeriod = std::lcm(kGhosts, kVector);  // lanes until the taps repeat

struct Maps {
  int64_t images, height, width;
  int64_t line() const { return width * kGhosts; }
};

// The padded lines around a row, each in a place of its own until SIZE rows further down.
class Lines {
 public:
  explicit Lines(const Maps& maps)
      : height_(maps.height),
        line_(maps.line()),
        padded_(maps.line() + 2 * kRadius * kGhosts + kPeriod),
        values_(kSize * padded_) {}

  // Makes the lines around `row` valid, downwards from row 0; `fill(row, to)` writes a map's line.
  template <typename Fill>
  void advance(int64_t row, Fill fill) {
    for (int64_t r = row == 0 ? -kRadius : row + kRadius; r <= row + kRadius; ++r) {
      float* to = place(r) + kRadius * kGhosts;
      if (r < 0 || r >= height_)
        std::fill_n(to, line_, 0.0f);
      else
        fill(r, to);
    }
    for (int64_t k = 0; k < kSize; ++k) rows_[k] = place(row - kRadius + k);
  }

  // From here the pixel `column - kRadius` of the k-th line starts at `column * kGhosts`.
  const float* operator[](int64_t k) const { return rows_[k]; }

 private:
  float* place(int64_t row) { return &values_[(row + kSize) % kSize * padded_]; }

  int64_t height_, line_, padded_;
  std::vector<float> values_;
  const float* rows_[kSize];
};

// kCount neighbouring channels of each pixel, every one repeated kRepeat times up to kGhosts.
template <int64_t kStep, int64_t kCount, int64_t kRepeat, typename T>
void read_line(const T* from, int64_t width, float* to) {
  if constexpr (kRepeat == 1 && kStep == kCount) {  // a line without a gap
    const int64_t whole = width * kCount / kVector * kVector;
    for (int64_t l = 0; l < whole; l += kVector) store(to + l, load(from + l));
    for (int64_t l = whole; l < width * kCount; ++l) to[l] = to_float(from[l]);
  } else {
    for (int64_t w = 0; w < width; ++w, from += kStep, to += kGhosts) {
      float pixel[kCount];
      for (int64_t c = 0; c < kCount; ++c) pixel[c] = to_float(from[c]);
      for (int64_t g = 0; g < kGhosts; ++g) to[g] = pixel[g / kRepeat];
    }
  }
}

// sums[l] = sum over the taps of lines[row][l + column * kGhosts] * taps[tap][l % kPeriod].
void convolve_line(const Lines& lines, const float* taps, int64_t count, float* sums) {
  for (int64_t start = 0; start < count; start += kPeriod)
    for (int64_t lane = 0; lane < kPeriod; lane += kVector) {
      Floats sum = {};
      for (int64_t row = 0; row < kSize; ++row) {
        const float* line = lines[row] + start + lane;
        for (int64_t column = 0; column < kSize; ++column)
          sum += load(line + column * kGhosts) * load(taps + (row * kSize + column) * kPeriod + lane);
      }
      store(sums + start + lane, sum);
    }
}

// sums[tap][l % kPeriod] += lines[row][l + column * kGhosts] * grads[l].
void correlate_line(const Lines& lines, const float* grads, int64_t count, float* sums) {
  for (int64_t lane = 0; lane < kPeriod; lane += kVector) {
    Floats tap_sums[kTaps] = {};
    for (int64_t l = lane; l < count; l += kPeriod) {
      const Floats grad = load(grads + l);
      for (int64_t tap = 0; tap < kTaps; ++tap)
        tap_sums[tap] += load(lines[tap / kSize] + l + tap % kSize * kGhosts) * grad;
    }
    for (int64_t tap = 0; tap < kTaps; ++tap) {
      float* at = sums + tap * kPeriod + lane;
      store(at, load(at) + tap_sums[tap]);
    }
  }
}

// weight [kernels, SIZE, SIZE] -> [SIZE, SIZE, kPeriod]: kernel g at lanes l with l % kGhosts = g.
std::vector<float> spread(const float* weight, bool mirrored) {
  std::vector<float> taps(kTaps * kPeriod);
  for (int64_t tap = 0; tap < kTaps; ++tap)
    for (int64_t lane = 0; lane < kPeriod; ++lane)
      taps[tap * kPeriod + lane] =
          weight[lane % kGhosts * kTaps + (mirrored ? kTaps - 1 - tap : tap)];
  return taps;
}

// A row of outputs: the intrinsic channels as they are, then the ghosts.
template <typename T>
void write_outputs(const T* x, const float* ghosts, int64_t width, T* y) {
  for (int64_t w = 0; w < width; ++w, x += kIntrinsic, ghosts += kGhosts, y += kOutputs) {
    std::memcpy(y, x, kIntrinsic * sizeof(T));
    for (int64_t g = 0; g < kGhosts; ++g) y[kIntrinsic + g] = rounded<T>(ghosts[g]);
  }
}

// A row of dx: the intrinsic channels' own gradient, and that of the ghosts made from each.
template <typename T>
void write_gradients(const T* dy, const float* of_ghosts, int64_t width, T* dx) {
  for (int64_t w = 0; w < width; ++w, dy += kOutputs, of_ghosts += kGhosts, dx += kIntrinsic)
    for (int64_t c = 0; c < kIntrinsic; ++c) {
      float sum = to_float(dy[c]);
      for (int64_t g = c * kPer; g < std::min((c + 1) * kPer, kGhosts); ++g) sum += of_ghosts[g];
      dx[c] = rounded<T>(sum);
    }
}

template <typename T>
void forward(const Maps& maps, const T* x, const float* weight, T* y, int threads) {
  const std::vector<float> taps = spread(weight, false);
  const int64_t width = maps.width;
#pragma omp parallel num_threads(threads)
  {
    Lines lines(maps);
    std::vector<float> ghosts(maps.line() + kPeriod);
#pragma omp for schedule(static)
    for (int64_t image = 0; image < maps.images; ++image)
      for (int64_t row = 0; row < maps.height; ++row) {
        const T* from = x + image * maps.height * width * kIntrinsic;
        lines.advance(row, [&](int64_t r, float* line) {
          read_line<kIntrinsic, kUsed, kPer>(from + r * width * kIntrinsic, width, line);
        });
        convolve_line(lines, taps.data(), maps.line(), ghosts.data());
        write_outputs(from + row * width * kIntrinsic, ghosts.data(), width,
                      y + (image * maps.height + row) * width * kOutputs);
      }
  }
}

template <typename T>
void backward(const Maps& maps, const T* x, const float* weight, const T* dy, T* dx,
              float* dweight, int threads) {
  const std::vector<float> taps = spread(weight, true);
  const int64_t width = maps.width;
  std::vector<float> tap_sums(maps.images * kTaps * kPeriod);
#pragma omp parallel num_threads(threads)
  {
    Lines intrinsic(maps), grads(maps);
    std::vector<float> of_ghosts(maps.line() + kPeriod), own(maps.line() + kPeriod);
#pragma omp for schedule(static)
    for (int64_t image = 0; image < maps.images; ++image)
      for (int64_t row = 0; row < maps.height; ++row) {
        const T* from = x + image * maps.height * width * kIntrinsic;
        const T* grad = dy + image * maps.height * width * kOutputs;
        intrinsic.advance(row, [&](int64_t r, float* line) {
          read_line<kIntrinsic, kUsed, kPer>(from + r * width * kIntrinsic, width, line);
        });
        grads.advance(row, [&](int64_t r, float* line) {
          read_line<kOutputs, kGhosts, 1>(grad + r * width * kOutputs + kIntrinsic, width, line);
        });
        convolve_line(grads, taps.data(), maps.line(), of_ghosts.data());
        write_gradients(grad + row * width * kOutputs, of_ghosts.data(), width,
                        dx + (image * maps.height + row) * width * kIntrinsic);
        std::copy_n(grads[kRadius] + kRadius * kGhosts, maps.line(), own.data());  // zeros follow
        correlate_line(intrinsic, own.data(), maps.line(), &tap_sums[image * kTaps * kPeriod]);
      }
  }
  for (int64_t g = 0; g < kGhosts; ++g)
    for (int64_t tap = 0; tap < kTaps; ++tap) {
      double sum = 0;
      for (int64_t image = 0; image < maps.images; ++image)
        for (int64_t lane = g; lane < kPeriod; lane += kGhosts)
          sum += tap_sums[(image * kTaps + tap) * kPeriod + lane];
      dweight[g * kTaps + tap] = float(sum);
    }
}

}  // namespace

#define EXPORT(type)                                                                              \
  extern "C" void forward_##type(const type* x, const float* weight, type* y, int64_t images,     \
                                 int64_t height, int64_t width, int threads) {                    \
    forward(Maps{images, height, width}, x, weight, y, threads);                                  \
  }                                                                                               \
  extern "C" void backward_##type(const type* x, const float* weight, const type* dy, type* dx,   \
                                  float* dweight, int64_t images, int64_t height, int64_t width,  \
                                  int threads) {                                                  \
    backward(Maps{images, height, width}, x, weight, dy, dx, dweight, threads);                   \
  }

EXPORT(float)
EXPORT(bfloat16)
