// Batch normalisation of channels_last maps in training, forward and backward, for the CPU.
//
// Maps are rows [N * H * W, C]. Few channels would leave most of a vector empty, so `period` rows
// are read as one wide row of `lanes` = period * C values, a multiple of kBlock: lane l always holds
// channel l % C. Tiles of wide rows are shared out among the threads; each tile leaves its sums in
// its own place and they are added in order, so the bits depend on no thread and no thread count.
//
// Statistics per tile: the mean, then sums of d = x - mean and of d * d in float32 (d's own sum
// corrects the mean's rounding), joined in float64 as in "Algorithms for Computing the Sample
// Variance", Chan, Golub and LeVeque, The American Statistician 37 (1983).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tiles.h"

namespace {

// Mean and sum of squared deviations of every tile's channels.
template <typename T>
void tile_moments(const Tiling& tiling, int64_t t, const T* x, float* scratch, double* mean,
                  double* squares) {
  float *first = scratch, *second = first + tiling.lanes, *centre = second + tiling.lanes;
  float* channel_centre = centre + tiling.lanes;
  const int64_t channels = tiling.channels;
  const double count = tiling.count(t);
  add_up(tiling, t, first, second, [&](int64_t at, int64_t, int64_t n, Floats& a, Floats&) {
    a += load(x + at, n);
  });
  tiling.fold(first, mean);
  for (int64_t c = 0; c < channels; ++c) channel_centre[c] = float(mean[c] / count);
  tiling.spread(channel_centre, centre);
  add_up(tiling, t, first, second,
         [&](int64_t at, int64_t lane, int64_t n, Floats& a, Floats& b) {
           const Floats d = load(x + at, n) - load(centre + lane);
           a += d;
           b += d * d;
         });
  tiling.fold(first, mean);
  tiling.fold(second, squares);
  for (int64_t c = 0; c < channels; ++c) {
    const double shift = mean[c] / count;
    squares[c] -= shift * mean[c];
    mean[c] = double(channel_centre[c]) + shift;
  }
}

struct Statistics {
  float *mean, *inverse_std, *running_mean, *running_var;
  double momentum, eps;
};

// Joins the tiles' moments in their order, writes the batch's and moves the running statistics.
void join_moments(const Tiling& tiling, const double* means, const double* squares,
                  const Statistics& to) {
  const int64_t channels = tiling.channels;
  std::vector<double> mean(channels), sum(channels);
  for (int64_t t = 0; t < tiling.tiles; ++t) {
    const double share = double(tiling.count(t)) / tiling.rows;
    for (int64_t c = 0; c < channels; ++c) mean[c] += share * means[t * channels + c];
  }
  for (int64_t t = 0; t < tiling.tiles; ++t) {
    const double count = tiling.count(t);
    for (int64_t c = 0; c < channels; ++c) {
      const double gap = means[t * channels + c] - mean[c];
      sum[c] += squares[t * channels + c] + count * gap * gap;
    }
  }
  for (int64_t c = 0; c < channels; ++c) {
    to.mean[c] = float(mean[c]);
    to.inverse_std[c] = float(1.0 / std::sqrt(sum[c] / tiling.rows + to.eps));
    if (!to.running_mean) continue;
    const double unbiased = sum[c] / (tiling.rows - 1);
    to.running_mean[c] = float(to.momentum * mean[c] + (1 - to.momentum) * to.running_mean[c]);
    to.running_var[c] = float(to.momentum * unbiased + (1 - to.momentum) * to.running_var[c]);
  }
}

// to = (x - x_mean) * by_x + offset, or in the backward pass + (g - g_mean) * by_g, over one tile.
template <typename T, bool backward>
void transform(const Tiling& tiling, int64_t t, const T* x, const T* g, T* to, const float* x_mean,
               const float* by_x, const float* g_mean, const float* by_g, const float* offset) {
  const auto at_lanes = [&](int64_t lane, int64_t at, int64_t n) {
    const Floats scaled = (load(x + at, n) - load(x_mean + lane)) * load(by_x + lane);
    if constexpr (backward)
      return scaled + (load(g + at, n) - load(g_mean + lane)) * load(by_g + lane);
    else
      return scaled + load(offset + lane);
  };
  for (int64_t row = tiling.begin(t); row < tiling.end(t); ++row)
    for (int64_t lane = 0; lane < tiling.lanes; lane += kVector) {
      const int64_t at = row * tiling.lanes + lane;
      store(to + at, at_lanes(lane, at, kVector));
    }
  tiling.visit_rest(t, [&](int64_t lane, int64_t at, int64_t n) {
    store_first(to + at, at_lanes(lane, at, n), n);
  });
}

template <typename T>
void forward(const T* x, T* y, const float* weight, const float* bias, const Statistics& statistics,
             int64_t rows, int64_t channels, int threads) {
  const Tiling tiling(rows, channels, sizeof(T));
  std::vector<double> means(tiling.tiles * channels), squares(tiling.tiles * channels);
  std::vector<float> lanes(3 * tiling.lanes), scale(channels), zeros(channels);
  float *mean = lanes.data(), *by_x = mean + tiling.lanes, *offset = by_x + tiling.lanes;
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> scratch(3 * tiling.lanes + channels);
#pragma omp for schedule(static)
    for (int64_t t = 0; t < tiling.tiles; ++t)
      tile_moments(tiling, t, x, scratch.data(), &means[t * channels], &squares[t * channels]);
#pragma omp single
    {
      join_moments(tiling, means.data(), squares.data(), statistics);
      for (int64_t c = 0; c < channels; ++c)
        scale[c] = statistics.inverse_std[c] * (weight ? weight[c] : 1.0f);
      tiling.spread(statistics.mean, mean);
      tiling.spread(scale.data(), by_x);
      tiling.spread(bias ? bias : zeros.data(), offset);
    }
#pragma omp for schedule(static)
    for (int64_t t = 0; t < tiling.tiles; ++t)
      transform<T, false>(tiling, t, x, nullptr, y, mean, by_x, nullptr, nullptr, offset);
  }
}

// With xhat = (x - mean) * inverse_std and averages over the rows:
// dx = weight * inverse_std * (g - average(g) - xhat * average(g * xhat)).
template <typename T>
void backward(const T* x, const T* g, T* dx, const float* weight, const float* mean,
              const float* inverse_std, float* dweight, float* dbias, int64_t rows,
              int64_t channels, int threads) {
  const Tiling tiling(rows, channels, sizeof(T));
  std::vector<double> g_sums(tiling.tiles * channels), products(tiling.tiles * channels);
  std::vector<float> lanes(4 * tiling.lanes), per_channel(3 * channels);
  float *x_mean = lanes.data(), *by_x = x_mean + tiling.lanes;
  float *by_g = by_x + tiling.lanes, *g_mean = by_g + tiling.lanes;
  tiling.spread(mean, x_mean);
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> scratch(2 * tiling.lanes);
    float *first = scratch.data(), *second = first + tiling.lanes;
#pragma omp for schedule(static)
    for (int64_t t = 0; t < tiling.tiles; ++t) {
      add_up(tiling, t, first, second,
             [&](int64_t at, int64_t lane, int64_t n, Floats& a, Floats& b) {
               const Floats values = load(g + at, n);
               a += values;
               b += values * (load(x + at, n) - load(x_mean + lane));
             });
      tiling.fold(first, &g_sums[t * channels]);
      tiling.fold(second, &products[t * channels]);
    }
#pragma omp single
    {
      for (int64_t c = 0; c < channels; ++c) {
        double g_sum = 0, product = 0;
        for (int64_t t = 0; t < tiling.tiles; ++t) {
          g_sum += g_sums[t * channels + c];
          product += products[t * channels + c];
        }
        const double inverse = inverse_std[c], scale = inverse * (weight ? weight[c] : 1.0f);
        per_channel[c] = float(-scale * inverse * inverse * product / rows);
        per_channel[channels + c] = float(scale);
        per_channel[2 * channels + c] = float(g_sum / rows);
        if (dweight) dweight[c] = float(product * inverse);
        if (dbias) dbias[c] = float(g_sum);
      }
      tiling.spread(per_channel.data(), by_x);
      tiling.spread(per_channel.data() + channels, by_g);
      tiling.spread(per_channel.data() + 2 * channels, g_mean);
    }
#pragma omp for schedule(static)
    for (int64_t t = 0; t < tiling.tiles; ++t)
      transform<T, true>(tiling, t, x, g, dx, x_mean, by_x, g_mean, by_g, nullptr);
  }
}

}  // namespace

#define EXPORT(type)                                                                             \
  extern "C" void forward_##type(const type* x, type* y, const float* weight, const float* bias, \
                                 float* mean, float* inverse_std, float* running_mean,           \
                                 float* running_var, double momentum, double eps, int64_t rows,  \
                                 int64_t channels, int threads) {                                \
    forward(x, y, weight, bias, {mean, inverse_std, running_mean, running_var, momentum, eps},   \
            rows, channels, threads);                                                            \
  }                                                                                              \
  extern "C" void backward_##type(const type* x, const type* g, type* dx, const float* weight,   \
                                  const float* mean, const float* inverse_std, float* dweight,   \
                                  float* dbias, int64_t rows, int64_t channels, int threads) {   \
    backward(x, g, dx, weight, mean, inverse_std, dweight, dbias, rows, channels, threads);      \
  }

EXPORT(float)
EXPORT(bfloat16)
