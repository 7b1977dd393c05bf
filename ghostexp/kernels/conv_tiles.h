// Tiles of convolutions whose sums stay in registers: outputs, and gradients of weights.

#pragma once

#include "ahead.h"
#include "operands.h"
#include "pieces.h"

#include <immintrin.h>

namespace {

constexpr int kColumns = kBytes == 64 ? 4 : 3;  // of a tile: outputs x columns are its sums
constexpr int kOutputs = 4;
constexpr int kSummed = 32;  // operands of one sum: sums of sums round less than one long sum

// Keeps a value in a register, whatever the compiler would like better.
INLINE void pin(Floats& value) {
#if defined(__AVX512F__)
  asm("" : "+v"(value));
#elif defined(__AVX2__)
  asm("" : "+x"(value));
#endif
}

// `channels` counts operands. to[i * to_pitch + j * to_step] = sum over channels, rows and taps of
// from[row][channel][j * step + tap] * weight.
// Not inlined: with the code around it in one function, the compiler spills the sums.
template <int channels, int pitch, int rows, int taps, int step, int outputs, int columns,
          int to_pitch, int to_step>
__attribute__((noinline)) void tile(const Floats* const* from, const float* weights, Floats* to) {
  Floats sums[outputs][columns];
  const Floats* row[rows];
#pragma GCC unroll 3
  for (int r = 0; r < rows; ++r) row[r] = from[r];
#pragma GCC unroll 1
  for (int first = 0; first < channels; first += kSummed) {
#pragma GCC unroll 16
    for (int i = 0; i < outputs; ++i)
#pragma GCC unroll 16
      for (int j = 0; j < columns; ++j) sums[i][j] = Floats{};
    const float* const end = weights + std::min(kSummed, channels - first) * rows * taps * outputs;
#pragma GCC unroll 1
    do {
#pragma GCC unroll 3
      for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 3
        for (int k = 0; k < taps; ++k) {
          Floats values[columns];
#pragma GCC unroll 16
          for (int j = 0; j < columns; ++j) {
            values[j] = row[r][j * step + k];
            pin(values[j]);
          }
#pragma GCC unroll 16
          for (int i = 0; i < outputs; ++i) {
            const float weight = weights[(r * taps + k) * outputs + i];
#pragma GCC unroll 16
            for (int j = 0; j < columns; ++j)
              sums[i][j] = multiply_add(sums[i][j], values[j], weight);
          }
        }
        row[r] += pitch;
      }
      weights += rows * taps * outputs;
    } while (weights != end);
#pragma GCC unroll 16
    for (int i = 0; i < outputs; ++i)
#pragma GCC unroll 16
      for (int j = 0; j < columns; ++j) {
        Floats& sum = to[i * to_pitch + j * to_step];
        sum = first > 0 ? sum + sums[i][j] : sums[i][j];
      }
  }
}

// All tiles of a row, to `outputs` rows of `width` columns; from[r] points at tap 0.
template <int channels, int pitch, int rows, int taps, int step, int outputs, int width,
          int to_pitch, int to_step>
INLINE void convolve_row(const Floats* const (&from)[rows], const float* weights, Floats* to,
                         Ahead& ahead) {
  constexpr int kTiles = ((width + kColumns - 1) / kColumns) * ((outputs + kOutputs - 1) / kOutputs);
  const int lines = ahead.lines() / kTiles + 1;  // to fetch with each tile
  for_pieces<width, kColumns>([&](int x, auto columns) {
    const Floats* at[rows];
    for (int r = 0; r < rows; ++r) at[r] = from[r] + x * step;
    for_pieces<outputs, kOutputs>([&](int first, auto block) {
      ahead.fetch(lines);
      tile<channels, pitch, rows, taps, step, block.kValue, columns.kValue, to_pitch, to_step>(
          at, weights + first * channels * rows * taps, to + first * to_pitch + x * to_step);
    });
  });
}

// Weights [outputs][channels][size][size], in any order of memory.
struct Filters {
  const float* weights;
  int64_t by_output, by_channel, by_row, by_column;  // strides
};

// Weights in the order in which tiles read them. `back` swaps outputs and channels: it is for the
// gradient of the inputs. Taps are ky[0..rows) x kx[0..taps).
inline void pack_weights(const Filters& from, int outputs, int channels, bool back, const int* ky,
                         int rows, const int* kx, int taps, float* to) {
  const int outer = back ? channels : outputs, inner = back ? outputs : channels;
  const int64_t by_outer = back ? from.by_channel : from.by_output;
  const int64_t by_inner = back ? from.by_output : from.by_channel;
#pragma omp for schedule(static)
  for (int first = 0; first < outer; first += kOutputs) {
    float* place = to + int64_t(first) * paired(inner) * rows * taps;
    for (int c = 0; c < inner; c += kPair)
      for (int r = 0; r < rows; ++r)
        for (int k = 0; k < taps; ++k)
          for (int o = first; o < std::min(first + kOutputs, outer); ++o) {
            const float* weight = from.weights + o * by_outer + c * by_inner + ky[r] * from.by_row +
                                  kx[k] * from.by_column;
#if BF16
            *place++ = pack_pair(*weight, c + 1 < inner ? weight[by_inner] : 0);
#else
            *place++ = *weight;
#endif
          }
  }
}

// A depthwise row: sums[j] = sum of rows[ky][x + kx + j] * filter, for `columns` columns.
template <int size, int columns>
INLINE void depthwise(const Floats* const* rows, const float* filter, int x, Floats* sums) {
#pragma GCC unroll 7
  for (int ky = 0; ky < size; ++ky)
#pragma GCC unroll 7
    for (int kx = 0; kx < size; ++kx)
#pragma GCC unroll 8
      for (int j = 0; j < columns; ++j) sums[j] += rows[ky][x + kx + j] * filter[ky * size + kx];
}

typedef float Four __attribute__((vector_size(16)));

// The sum of a vector's lanes in four parts: lanes i, i + 4 and so on are added.
INLINE Four quarter(const Floats& values) {
#if defined(__AVX512F__)
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256((__m512)values),
                                    _mm512_extractf32x8_ps((__m512)values, 1));
#else
  const __m256 half = (__m256)values;
#endif
  return (Four)_mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

#if defined(__AVX512F__)
INLINE Four sum_four(const Floats& a, const Floats& b, const Floats& c, const Floats& d) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps((__m512)a, (__m512)b),
                                  _mm512_unpackhi_ps((__m512)a, (__m512)b));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps((__m512)c, (__m512)d),
                                  _mm512_unpackhi_ps((__m512)c, (__m512)d));
  const __m512 quarters = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
  return quarter((Floats)quarters);
}
#elif defined(__AVX2__)
INLINE Four sum_four(const Floats& a, const Floats& b, const Floats& c, const Floats& d) {
  const __m256 ab = _mm256_hadd_ps((__m256)a, (__m256)b), cd = _mm256_hadd_ps((__m256)c, (__m256)d);
  return quarter((Floats)_mm256_hadd_ps(ab, cd));
}
#endif

// to[k * outputs + i] += sum over rows, columns and lanes of
// values[row][x * step + k] * grads[row][i][x].
template <int taps, int step, int outputs, int width, int grad_pitch>
__attribute__((noinline)) void weight_tile(const Floats* const* values, int64_t values_offset,
                                           const Floats* const* grads, int64_t grads_offset,
                                           int rows, float* to) {
  Floats sums[outputs][taps] = {};
  for (int r = 0; r < rows; ++r) {
    const Floats* value = values[r] + values_offset;
    const Floats* grad = grads[r] + grads_offset;
#pragma GCC unroll 2
    for (int x = 0; x < width; ++x) {
      Floats v[taps];
#pragma GCC unroll 3
      for (int k = 0; k < taps; ++k) v[k] = value[x * step + k];
#pragma GCC unroll 4
      for (int i = 0; i < outputs; ++i) {
        Floats g = grad[i * grad_pitch + x];
        pin(g);
#pragma GCC unroll 3
        for (int k = 0; k < taps; ++k) sums[i][k] = multiply_add(sums[i][k], g, v[k]);
      }
    }
  }
#pragma GCC unroll 3
  for (int k = 0; k < taps; ++k) {
    if constexpr (outputs == 4) {
      const Four four = sum_four(sums[0][k], sums[1][k], sums[2][k], sums[3][k]);
      Four so_far;
      std::memcpy(&so_far, to + k * 4, sizeof so_far);
      so_far += four;
      std::memcpy(to + k * 4, &so_far, sizeof so_far);
    } else {
      for (int i = 0; i < outputs; ++i) to[k * outputs + i] += float(sum_lanes(sums[i][k], kLanes));
    }
  }
}

}  // namespace
