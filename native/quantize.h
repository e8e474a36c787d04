#pragma once

#include <cstddef>
#include <cstdint>

namespace lmzip {

// Every block of `block` floats (a power of two that divides `width`) times the Hadamard matrix, in
// place; x[rows][width]. NUMERICS.md, section 4.
void hadamard(float* x, std::size_t rows, std::size_t width, std::size_t block);

// q[rows][width] in -127..127 and step[rows] of x[rows][width]. NUMERICS.md, section 4.
void quantize(const float* x, std::int8_t* q, float* step, std::size_t rows, std::size_t width);

}  // namespace lmzip
