// Rows of few channels, [rows, C], cut into tiles of wide rows, and sums over a tile.
//
// Few channels would leave most of a vector empty, so `period` rows are read as one wide row of
// `lanes` = period * C values, a multiple of kBlock: lane l always holds channel l % C.

#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "vectors.h"

namespace {

constexpr int64_t kBlock = 4 * kVector;  // lanes whose sums stay in registers
constexpr int64_t kMinWideRows = 16; // a tile's sums are folded once per this many wide rows
constexpr int64_t kChunk = 16;       // sums of sums round less than one long sum
constexpr int64_t kTileBytes = 32768;
constexpr int64_t kMaxTiles = 1024;

// How [rows, channels] is cut into tiles of wide rows.
struct Tiling {
  int64_t rows, channels, period, lanes, wide_rows, rest, tile, tiles;

  Tiling(int64_t rows, int64_t channels, int64_t value_bytes) : rows(rows), channels(channels) {
    period = kBlock / std::gcd(kBlock, channels);
    lanes = period * channels;
    wide_rows = rows / period;
    rest = rows % period * channels;  // lanes of an unfinished wide row, part of the last tile
    tile = std::max({kMinWideRows, kTileBytes / (lanes * value_bytes), wide_rows / kMaxTiles + 1});
    tiles = std::max<int64_t>(1, (wide_rows + tile - 1) / tile);
  }
  int64_t begin(int64_t t) const { return t * tile; }
  int64_t end(int64_t t) const { return std::min(wide_rows, (t + 1) * tile); }
  bool has_rest(int64_t t) const { return rest > 0 && t == tiles - 1; }
  int64_t count(int64_t t) const {
    return (end(t) - begin(t)) * period + (has_rest(t) ? rest / channels : 0);
  }

  // left(lane, offset, count) for up to a vector at a time of the unfinished wide row.
  template <typename Left>
  void visit_rest(int64_t t, Left left) const {
    if (!has_rest(t)) return;
    for (int64_t lane = 0; lane < rest; lane += kVector)
      left(lane, wide_rows * lanes + lane, std::min(kVector, rest - lane));
  }

  void fold(const float* sums, double* per_channel) const {
    std::fill_n(per_channel, channels, 0.0);
    for (int64_t start = 0; start < lanes; start += channels)
      for (int64_t c = 0; c < channels; ++c) per_channel[c] += sums[start + c];
  }

  void spread(const float* per_channel, float* per_lane) const {
    for (int64_t start = 0; start < lanes; start += channels)
      std::copy_n(per_channel, channels, per_lane + start);
  }
};

// sums[l] += first(x, l), more[l] += second(x, l), over one tile; Term returns both.
template <typename Term>
void add_up(const Tiling& tiling, int64_t t, float* first, float* second, Term term) {
  std::fill_n(first, tiling.lanes, 0.0f);
  std::fill_n(second, tiling.lanes, 0.0f);
  for (int64_t lane = 0; lane < tiling.lanes; lane += kBlock) {
    Floats first_sums[4] = {}, second_sums[4] = {};
    for (int64_t start = tiling.begin(t); start < tiling.end(t); start += kChunk) {
      Floats a[4] = {}, b[4] = {};
      const int64_t end = std::min(start + kChunk, tiling.end(t));
      for (int64_t row = start; row < end; ++row)
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) {
          const int64_t at = lane + v * kVector;
          term(row * tiling.lanes + at, at, kVector, a[v], b[v]);
        }
      for (int v = 0; v < 4; ++v) first_sums[v] += a[v], second_sums[v] += b[v];
    }
    for (int v = 0; v < 4; ++v) {
      store(first + lane + v * kVector, first_sums[v]);
      store(second + lane + v * kVector, second_sums[v]);
    }
  }
  tiling.visit_rest(t, [&](int64_t lane, int64_t offset, int64_t count) {
    Floats a = {}, b = {};
    term(offset, lane, count, a, b);
    for (int64_t l = 0; l < count; ++l) {
      first[lane + l] += a[l];
      second[lane + l] += b[l];
    }
  });
}

}  // namespace
