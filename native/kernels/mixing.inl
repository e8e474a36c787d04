// Dot products of adaptive mixing and their learning (NUMERICS.md, section 13, "Mixing"): all sets of weights at once.

constexpr std::int32_t kMixLimit = (1 << 14) - 1;  // so that 64 products with inputs below 2^11 fit 32 bits

inline void mix_dots(const std::int16_t* const* w, const std::int16_t* x, std::int32_t* sums) {
    for (std::size_t s = 0; s < kMixSets; ++s) {
        const std::int16_t* row = w[s];
        std::int32_t sum = 0;
        for (std::size_t i = 0; i < kMixInputs; ++i) sum += std::int32_t{row[i]} * x[i];
        sums[s] = sum;
    }
}

inline void mix_learn(std::int16_t* const* w, const std::int16_t* x, const std::int16_t* steps) {
    for (std::size_t s = 0; s < kMixSets; ++s) {
        std::int16_t* row = w[s];
        const std::int16_t step = steps[s];
        if (step == 0) continue;
        for (std::size_t i = 0; i < kMixInputs; ++i) {
            const auto change = static_cast<std::int16_t>((std::int32_t{x[i]} * step + (1 << 14)) >> 15);
            const auto next = static_cast<std::int16_t>(row[i] + change);
            row[i] = std::min<std::int16_t>(kMixLimit, std::max<std::int16_t>(-kMixLimit, next));
        }
    }
}
