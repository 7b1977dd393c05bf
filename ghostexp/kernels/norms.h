// Batch norms of a training step: statistics of the groups are joined, and gradients spread.
//
// Moments are joined as in "Algorithms for Computing the Sample Variance", Chan, Golub and LeVeque,
// The American Statistician 37 (1983).

#pragma once

#include <cmath>

#include "grouped_maps.h"

namespace {

// A batch norm's tensors, each [channels]; the running ones may be null.
struct Norm {
  const float *weight, *bias, *conv_bias;
  float *running_mean, *running_var;
  double momentum, eps;
  float *mean, *inverse_std, *scale, *shift;  // of this batch
};

// The gradient of a convolution's outputs through its batch norm:
// grads * by_grad + (outputs - mean) * by_output + offset.
struct NormGradient {
  const Stored *grads, *outputs;
  const float *mean, *by_grad, *by_output, *offset;
};

// Mean of a row, near which its channel's values lie.
inline float mean_of(const Floats* values, int width, int count) {
  Floats sum = {};
  for (int x = 0; x < width; ++x) sum += values[x];
  return float(sum_lanes(sum, count) / (width * count));
}

// Sums of d and of d * d in lanes, with d = value - centre -> mean and squared deviations.
inline void fold_moments(const Floats* lanes, const float* centre, int channels, int count,
                         int64_t pixels, double* moments) {
  for (int c = 0; c < channels; ++c) {
    const double sum = sum_lanes(lanes[2 * c], count), n = double(pixels * count);
    moments[2 * c] = centre[c] + sum / n;
    moments[2 * c + 1] = sum_lanes(lanes[2 * c + 1], count) - sum * sum / n;
  }
}

}  // namespace

// Joins moments [groups][channels][2] and moves the running statistics.
extern "C" void join_moments(const double* moments, const Norm* norm, int channels, int64_t pixels,
                             int64_t images) {
  const int64_t groups = groups_of(images);
  const double n = double(images * pixels);
  for (int c = 0; c < channels; ++c) {
    double mean = 0, squares = 0;
    for (int64_t group = 0; group < groups; ++group)
      mean += moments[(group * channels + c) * 2] * images_in(group, images) / images;
    for (int64_t group = 0; group < groups; ++group) {
      const double* moment = moments + (group * channels + c) * 2;
      const double gap = moment[0] - mean;
      squares += moment[1] + gap * gap * images_in(group, images) * pixels;
    }
    const double inverse = 1 / std::sqrt(squares / n + norm->eps), scale = inverse * norm->weight[c];
    norm->mean[c] = float(mean);
    norm->inverse_std[c] = float(inverse);
    norm->scale[c] = float(scale);
    norm->shift[c] = float(norm->bias[c] - mean * scale);
    if (!norm->running_mean) continue;
    const double by = norm->momentum, whole = mean + (norm->conv_bias ? norm->conv_bias[c] : 0);
    norm->running_mean[c] = float(by * whole + (1 - by) * norm->running_mean[c]);
    norm->running_var[c] = float(by * squares / (n - 1) + (1 - by) * norm->running_var[c]);
  }
}

// From sums [groups][channels][2] of g and of g * (outputs - mean): gradients of weight and bias,
// and the factors [3][channels] of NormGradient.
extern "C" void spread_sums(const double* sums, const Norm* norm, int channels, int64_t pixels,
                            int64_t images, float* factors, float* weight_grad, float* bias_grad) {
  const double n = double(images * pixels);
  for (int c = 0; c < channels; ++c) {
    double sum = 0, product = 0;
    for (int64_t group = 0; group < groups_of(images); ++group) {
      sum += sums[(group * channels + c) * 2];
      product += sums[(group * channels + c) * 2 + 1];
    }
    const double inverse = norm->inverse_std[c], scale = inverse * norm->weight[c];
    weight_grad[c] = float(product * inverse);
    bias_grad[c] = float(sum);
    factors[c] = float(scale);
    factors[channels + c] = float(-scale * inverse * inverse * product / n);
    factors[2 * channels + c] = float(-scale * sum / n);
  }
}

// The sums that a closed row takes, for a batch norm whose gradient another one shares.
extern "C" void sum_gradients(const Stored* grads, const Stored* outputs, const float* mean,
                              Sizes sizes, double* sums, int64_t images, int threads) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int64_t group = 0; group < groups_of(images); ++group)
    for (int c = 0; c < sizes.channels; ++c) {
      Floats lanes[2] = {};
      for (int y = 0; y < sizes.height; ++y) {
        const int64_t start = sizes.row(group, y) + c * sizes.width * kLanes;
        Floats sum = {}, product = {};
        for (int x = 0; x < sizes.width; ++x) {
          const Floats grad = load(grads + start + x * kLanes);
          sum += grad;
          product += grad * (load(outputs + start + x * kLanes) - mean[c]);
        }
        lanes[0] += sum;
        lanes[1] += product;
      }
      fold_sums(lanes, 1, images_in(group, images), sums + (group * sizes.channels + c) * 2);
    }
}
