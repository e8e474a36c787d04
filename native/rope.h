#pragma once

#include <cstddef>
#include <cstdint>

namespace lmzip {

// Cosines and sines [half] of a position; turns [half] in units of 2^-64 turn. NUMERICS.md, section 6.
void rope_angles(const std::uint64_t* turns, std::size_t half, std::uint64_t position, float* cosine,
                 float* sine);

}  // namespace lmzip
