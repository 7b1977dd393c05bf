// A loop over pieces whose lengths the compiler knows.

#pragma once

namespace {

template <int value>
struct Constant {
  static constexpr int kValue = value;
};

// each(start, Constant<length>) for pieces of at most `piece` that make up `total`.
template <int total, int piece, typename Each>
inline __attribute__((always_inline)) void for_pieces(Each each) {
  for (int start = 0; start + piece <= total; start += piece) each(start, Constant<piece>{});
  if constexpr (total % piece > 0) each(total - total % piece, Constant<total % piece>{});
}

}  // namespace
