// What convolutions multiply: float32 values, or with BF16=1 pairs of bfloat16 values, whose two
// products a single instruction adds to a float32 sum.
//
// In a vector of pairs, lane l holds two values of image l: of neighbouring channels, or of two rows
// where sums over pixels are taken. A last channel without a neighbour is paired with zeros.

#pragma once

#include "grouped_maps.h"

#if BF16
#include <immintrin.h>
#ifndef __AVX512BF16__
#error "pairs of bfloat16 need a CPU with AVX512_BF16"
#endif
#endif

namespace {

constexpr int kPair = BF16 ? 2 : 1;  // values in a lane of an operand

constexpr int paired(int channels) { return (channels + kPair - 1) / kPair; }

#if BF16
INLINE Floats multiply_add(const Floats& sum, const Floats& value, float weight) {
  return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)value, (__m512bh)_mm512_set1_ps(weight));
}

INLINE Floats multiply_add(const Floats& sum, const Floats& value, const Floats& other) {
  return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)value, (__m512bh)other);
}

INLINE Words evens(const Floats& pairs) { return (Words)pairs << 16; }

INLINE Words odds(const Floats& pairs) { return (Words)pairs & 0xFFFF0000; }

INLINE Floats pair_up(const Floats& even, const Floats& odd) {
  constexpr short o = 16;
  const __m512i order = _mm512_set_epi16(15 + o, 15, 14 + o, 14, 13 + o, 13, 12 + o, 12, 11 + o, 11, 10 + o, 10, 9 + o, 9, 8 + o, 8, 7 + o, 7, 6 + o, 6, 5 + o, 5, 4 + o, 4, 3 + o, 3, 2 + o, 2, 1 + o, 1, o, 0);
  const __m512bh both = _mm512_cvtne2ps_pbh((__m512)odd, (__m512)even);
  return (Floats)_mm512_permutexvar_epi16(order, (__m512i)both);
}

// Weights of two channels in the bits of one float.
inline float pack_pair(float even, float odd) {
  const uint32_t bits = rounded<bfloat16>(even) | uint32_t(rounded<bfloat16>(odd)) << 16;
  return __builtin_bit_cast(float, bits);
}
#else
INLINE Floats multiply_add(const Floats& sum, const Floats& value, float weight) {
  return sum + value * weight;
}

INLINE Floats multiply_add(const Floats& sum, const Floats& value, const Floats& other) {
  return sum + value * other;
}
#endif

// Rows of channels [channels][width] as operands, [paired(channels)][pitch].
INLINE void to_operands(const Floats* rows, int channels, int width, Floats* to, int pitch) {
#if BF16
  for (int c = 0; c < channels; c += 2, to += pitch)
    for (int x = 0; x < width; ++x)
      to[x] = pair_up(rows[c * width + x],
                      c + 1 < channels ? rows[(c + 1) * width + x] : Floats{});
#else
  for (int c = 0; c < channels; ++c) std::copy_n(rows + c * width, width, to + c * pitch);
#endif
}

#if BF16
// Two rows of pairs of channels, [paired(channels)][pitch], as [channels][length] pairs of rows.
INLINE void pair_rows(const Floats* first, const Floats* second, int channels, int pitch, int length,
                      Floats* to) {
  for (int c = 0; c < channels; c += 2, first += pitch, second += pitch, to += 2 * length)
    for (int i = 0; i < length; ++i) {
      to[i] = (Floats)(((Words)first[i] & 0xFFFF) | evens(second[i]));
      if (c + 1 < channels) to[length + i] = (Floats)(((Words)first[i] >> 16) | odds(second[i]));
    }
}
#endif

// The value of a channel in a row of operands.
INLINE Floats channel_of(const Floats* row, int channel, int pitch, int x) {
#if BF16
  const Floats& pairs = row[channel / 2 * pitch + x];
  return (Floats)(channel % 2 ? odds(pairs) : evens(pairs));
#else
  return row[channel * pitch + x];
#endif
}

}  // namespace
