// Dot products of adaptive mixing and their learning (NUMERICS.md, section 13, "Mixing"). n is a multiple of 16.

constexpr std::int32_t kMixLimit = (1 << 19) - 1;

inline std::int32_t mix_dot(const std::int32_t* w, const std::int32_t* x, std::size_t n) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += (w[i] * x[i]) >> 8;
    return sum;
}

inline void mix_learn(std::int32_t* w, const std::int32_t* x, std::size_t n, std::int32_t step) {
    for (std::size_t i = 0; i < n; ++i) {
        const std::int32_t next = w[i] + ((x[i] * step + 1024) >> 11);
        w[i] = std::min(kMixLimit, std::max(-kMixLimit, next));
    }
}
