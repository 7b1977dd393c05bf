// Rows that kernels read or write soon, fetched while tiles are computed.
//
// A kernel works on several maps at once, a row of each in turn, which the processor's own
// prefetching does not follow well. The lines of all rows are asked for a few at a time, because
// only so many can be under way.

#pragma once

#include "grouped_maps.h"

namespace {

class Ahead {
 public:
  void clear() { rows_ = row_ = 0; }

  // Row y of maps, if they are there and have such a row.
  void add(const Stored* maps, const Sizes& sizes, int64_t group, int y) {
    if (!maps || y >= sizes.height || rows_ == kMost) return;
    next_[rows_] = reinterpret_cast<const char*>(maps + sizes.row(group, y));
    end_[rows_] = next_[rows_] + sizes.row(0, 1) * sizeof(Stored);
    ++rows_;
  }

  void add(const Term& term, int64_t group, int y) {
    add(term.maps, {term.channels, term.height, term.width}, group, y);
  }

  // Lines of memory of all rows.
  int lines() const {
    int64_t bytes = 0;
    for (int row = 0; row < rows_; ++row) bytes += end_[row] - next_[row];
    return int(bytes / 64);
  }

  // Asks for the next lines.
  INLINE void fetch(int lines) {
    for (; lines > 0 && row_ < rows_; --lines) {
      __builtin_prefetch(next_[row_]);
      next_[row_] += 64;
      if (next_[row_] >= end_[row_]) ++row_;
    }
  }

 private:
  static constexpr int kMost = 8;
  int rows_ = 0, row_ = 0;
  const char *next_[kMost], *end_[kMost];
};

}  // namespace
