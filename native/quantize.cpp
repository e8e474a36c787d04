// Rotation and quantisation of activations (NUMERICS.md, section 4). The readable twins are
// `hadamard` and `quantize` in lmzip/engine/exact.py; both give the same bits.

#include "quantize.h"

#include <algorithm>
#include <cmath>

namespace lmzip {

namespace {

constexpr float kFloor = 0x1p-60f;

// Round half to even for |x| < 2^22: the sum has no fraction bits left, so the processor's rounding
// does the work. Only right without value-changing optimisations, which this build never uses.
inline float round_even(float x) {
    constexpr float magic = 0x1.8p23f;
    return (x + magic) - magic;
}

}  // namespace

void hadamard(float* x, std::size_t rows, std::size_t width, std::size_t block) {
    for (std::size_t at = 0; at < rows * width; at += block) {
        float* part = x + at;
        for (std::size_t half = 1; half < block; half *= 2) {
            for (std::size_t i = 0; i < block; i += 2 * half) {
                float* first = part + i;
                float* second = first + half;
                for (std::size_t j = 0; j < half; ++j) {
                    const float a = first[j], b = second[j];
                    first[j] = a + b;
                    second[j] = a - b;
                }
            }
        }
    }
}

void quantize(const float* x, std::int8_t* q, float* step, std::size_t rows, std::size_t width) {
    for (std::size_t row = 0; row < rows; ++row) {
        const float* in = x + row * width;
        float largest = kFloor;
        for (std::size_t i = 0; i < width; ++i) largest = std::max(largest, std::fabs(in[i]));
        const float scale = 127.0f / largest;
        std::int8_t* out = q + row * width;
        for (std::size_t i = 0; i < width; ++i)
            out[i] = static_cast<std::int8_t>(static_cast<std::int32_t>(round_even(in[i] * scale)));
        step[row] = largest * static_cast<float>(1.0 / 127.0);
    }
}

}  // namespace lmzip
