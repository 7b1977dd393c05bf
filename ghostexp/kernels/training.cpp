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

#include "backward.h"
#include "forward.h"
#include "pooling.h"

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
