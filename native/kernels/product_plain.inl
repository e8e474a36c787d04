// What the kernels multiply, where there is no matrix unit.

constexpr std::size_t kAttendRows = 12;  // of one AttendJob

// Activations times the rows of a matrix.
template <class Done>
inline void weight_product(const Quantized& a, std::size_t rows, const Matrix& w, std::size_t first,
                           std::size_t last, const Done& done) {
    product<WeightDot>(a.q, a.stride, a.sum, rows, tiles_of(w), w.groups(), first, last, done);
}

// Queries times the keys of the first `tiles` x 16 slots.
template <class Done>
inline void key_product(const Quantized& queries, std::size_t rows, const Tiles& keys, std::size_t groups,
                        std::size_t tiles, const Done& done) {
    product<WeightDot>(queries.q, queries.stride, queries.sum, rows, keys, groups, 0, tiles, done);
}

// Planes of attention weights times `slots` values of `tiles` x 16 elements.
template <class Done>
inline void value_product(const std::uint8_t* planes, std::size_t stride, std::size_t rows,
                          const Tiles& values, std::size_t slots, std::size_t tiles, const Done& done) {
    product<ValueDot>(planes, stride, nullptr, rows, values, slots / 4, 0, tiles, done);
}
