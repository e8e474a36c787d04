// Dot products of adaptive mixing and their learning (NUMERICS.md, section 13, "Mixing"). n is a multiple of 32.

constexpr std::int32_t kMixLimit = (1 << 14) - 1;  // so that 64 products with inputs below 2^11 fit 32 bits

inline std::int32_t mix_dot(const std::int16_t* w, const std::int16_t* x, std::size_t n) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += std::int32_t{w[i]} * x[i];
    return sum;
}

inline void mix_learn(std::int16_t* w, const std::int16_t* x, std::size_t n, std::int16_t step) {
    for (std::size_t i = 0; i < n; ++i) {
        const auto change = static_cast<std::int16_t>((std::int32_t{x[i]} * step + (1 << 14)) >> 15);
        const auto next = static_cast<std::int16_t>(w[i] + change);
        w[i] = std::min<std::int16_t>(kMixLimit, std::max<std::int16_t>(-kMixLimit, next));
    }
}
