#pragma once

#include <cstddef>
#include <cstdint>

namespace lmzip {

// freqs[rows][n], each at least 1 and each row summing to 2^24, from weights[rows][n] >= 0.
void frequencies(const std::int32_t* weights, std::int32_t* freqs, std::size_t rows, std::size_t n);

}  // namespace lmzip
