// Vectors of floats, as wide as the processor's, loaded from and stored to float32 or bfloat16
// memory. bfloat16 is computed in float32 and rounded to nearest even.

#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;  // of 32 registers
#elif defined(__AVX2__)
constexpr int kBytes = 32;  // of 16 registers
#else
constexpr int kBytes = 16;  // SSE, NEON
#endif
constexpr int64_t kVector = kBytes / sizeof(float);  // values

typedef float Floats __attribute__((vector_size(kBytes), may_alias));  // read in place, too
typedef uint32_t Words __attribute__((vector_size(kBytes)));
typedef uint16_t Halves __attribute__((vector_size(kBytes / 2)));
typedef uint16_t bfloat16;

inline Floats load(const float* from) {
  Floats values;
  std::memcpy(&values, from, sizeof values);
  return values;
}

inline Floats load(const bfloat16* from) {
#if defined(__AVX512F__)  // one instruction, where the compiler makes two halves of it
  return (Floats)_mm512_slli_epi32(
      _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from)), 16);
#endif
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  return (Floats)(__builtin_convertvector(halves, Words) << 16);
}

// One value; loops over a constant number of them become vectors.
inline float to_float(float value) { return value; }

inline float to_float(bfloat16 value) { return __builtin_bit_cast(float, uint32_t(value) << 16); }

template <typename T>
inline T rounded(float value);

template <>
inline float rounded<float>(float value) {
  return value;
}

template <>
inline bfloat16 rounded<bfloat16>(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;  // to even
  return bfloat16(value == value ? nearest : (bits >> 16) | 0x40);      // rounding could lose a NaN
}

inline void store(float* to, Floats values) { std::memcpy(to, &values, sizeof values); }

inline void store(bfloat16* to, Floats values) {
  const Words bits = (Words)values;
  const Words rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;  // to nearest even
  const Words quiet = (bits >> 16) | 0x40;                           // rounding could lose a NaN
  const Halves halves = __builtin_convertvector(values == values ? rounded : quiet, Halves);
  std::memcpy(to, &halves, sizeof halves);
}

// What is left of a wide row: lanes one by one, through a padded vector.
template <typename T>
inline Floats load_first(const T* from, int64_t count) {
  T padded[kVector] = {};
  std::memcpy(padded, from, count * sizeof(T));
  return load(padded);
}

template <typename T>
inline void store_first(T* to, Floats values, int64_t count) {
  T padded[kVector];
  store(padded, values);
  std::memcpy(to, padded, count * sizeof(T));
}

template <typename T>
inline Floats load(const T* from, int64_t count) {
  return count == kVector ? load(from) : load_first(from, count);
}

}  // namespace
