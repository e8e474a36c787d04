// Products of at least a few rows on the matrix unit: 16 rows x 64 columns of activations (signed)
// times 64 columns x 16 rows of weights (unsigned, 128 too large) in one instruction. The sums are
// the same integers as in product.inl.

struct alignas(64) TileConfig {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

constexpr std::size_t kAmxRows = 5;      // fewer rows go faster without
constexpr std::size_t kAttendRows = 16;  // of one AttendJob

// The 1,024 bytes that are wanted some blocks later: memory is slower than the matrix unit.
inline void fetch_ahead(const std::uint8_t* b) {
    for (std::size_t i = 0; i < 1024; i += 64)
        _mm_prefetch(reinterpret_cast<const char*>(b + 4096 + i), _MM_HINT_T0);
}

// Up to 32 rows times two tiles of w: sums [32][32]. `fetch`: the weights come from memory.
inline void amx_square(const std::int8_t* a, std::size_t stride, const Matrix& w, std::size_t tile,
                       bool fetch, std::int32_t* sums) {
    const std::size_t groups = w.groups();
    const std::uint8_t* b = w.tiles + tile * groups * 64;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (std::size_t k = 0; k < w.columns; k += 64) {
        if (fetch) {
            fetch_ahead(b + k * 16);
            fetch_ahead(b + (groups * 4 + k) * 16);
        }
        _tile_loadd(4, a + k, stride);
        _tile_loadd(6, b + k * 16, 64);
        _tile_dpbsud(0, 4, 6);
        _tile_loadd(7, b + (groups * 4 + k) * 16, 64);
        _tile_dpbsud(1, 4, 7);
        _tile_loadd(5, a + 16 * stride + k, stride);
        _tile_dpbsud(2, 5, 6);
        _tile_dpbsud(3, 5, 7);
    }
    _tile_stored(0, sums, 128);
    _tile_stored(1, sums + 16, 128);
    _tile_stored(2, sums + 16 * 32, 128);
    _tile_stored(3, sums + 16 * 32 + 16, 128);
}

// Up to 16 rows times two tiles of w.
inline void amx_strip(const std::int8_t* a, std::size_t stride, const Matrix& w, std::size_t tile,
                      std::int32_t* sums) {
    const std::size_t groups = w.groups();
    const std::uint8_t* b = w.tiles + tile * groups * 64;
    _tile_zero(0);
    _tile_zero(1);
    for (std::size_t k = 0; k < w.columns; k += 64) {
        fetch_ahead(b + k * 16);
        fetch_ahead(b + (groups * 4 + k) * 16);
        _tile_loadd(4, a + k, stride);
        _tile_loadd(6, b + k * 16, 64);
        _tile_dpbsud(0, 4, 6);
        _tile_loadd(7, b + (groups * 4 + k) * 16, 64);
        _tile_dpbsud(1, 4, 7);
    }
    _tile_stored(0, sums, 128);
    _tile_stored(1, sums + 16, 128);
}

// As `product` for weights. `a` must be readable up to a multiple of 16 rows.
template <class Done>
inline void weight_product(const Quantized& a, std::size_t rows, const Matrix& w, std::size_t first,
                           std::size_t last, const Done& done) {
    const std::size_t pairs = w.columns % 64 == 0 && rows >= kAmxRows ? (last - first) / 2 * 2 : 0;
    if (pairs != 0) {
        alignas(64) std::int32_t sums[32 * 32];
        const TileConfig config;
        _tile_loadconfig(&config);
        for (std::size_t tile = first; tile < first + pairs; tile += 2) {
            for (std::size_t row = 0; row < rows; row += 32) {
                const std::size_t count = std::min<std::size_t>(32, rows - row);
                if (count > 16)
                    amx_square(a.q + row * a.stride, a.stride, w, tile, row == 0, sums);
                else
                    amx_strip(a.q + row * a.stride, a.stride, w, tile, sums);
                for (std::size_t r = 0; r < count; ++r) {
                    const I offset = set_int(static_cast<std::int32_t>(
                        128u * static_cast<std::uint32_t>(a.sum[row + r])));
                    for (std::size_t c = 0; c < 2; ++c)
                        done(row + r, (tile + c) * kTile, load_int(sums + r * 32 + c * 16) - offset);
                }
            }
        }
        _tile_release();
    }
    if (first + pairs < last)
        product<WeightDot>(a.q, a.stride, a.sum, rows, tiles_of(w), w.groups(), first + pairs, last, done);
}

// Queries times the keys of the first `tiles` x 16 slots. `queries` must be readable up to 16 rows.
template <class Done>
inline void key_product(const Quantized& queries, std::size_t rows, const Tiles& keys, std::size_t groups,
                        std::size_t tiles, const Done& done) {
    if (groups != 16 || rows > 16 || tiles % 4 != 0)
        return product<WeightDot>(queries.q, queries.stride, queries.sum, rows, keys, groups, 0, tiles, done);
    alignas(64) std::int32_t sums[4][16 * 16];
    TileConfig config;
    for (const int tile : {0, 1, 2, 3, 4}) config.rows[tile] = static_cast<std::uint8_t>(rows);
    _tile_loadconfig(&config);
    _tile_loadd(4, queries.q, queries.stride);
    for (std::size_t tile = 0; tile < tiles; tile += 4) {
        const std::uint8_t* b = keys.data + tile * keys.tile_stride;
        for (std::size_t c = 0; c < 4; ++c) fetch_ahead(b + c * keys.tile_stride);
        _tile_zero(0);
        _tile_loadd(5, b, 64);
        _tile_dpbsud(0, 4, 5);
        _tile_zero(1);
        _tile_loadd(6, b + keys.tile_stride, 64);
        _tile_dpbsud(1, 4, 6);
        _tile_zero(2);
        _tile_loadd(7, b + 2 * keys.tile_stride, 64);
        _tile_dpbsud(2, 4, 7);
        _tile_zero(3);
        _tile_loadd(5, b + 3 * keys.tile_stride, 64);
        _tile_dpbsud(3, 4, 5);
        _tile_stored(0, sums[0], 64);
        _tile_stored(1, sums[1], 64);
        _tile_stored(2, sums[2], 64);
        _tile_stored(3, sums[3], 64);
        for (std::size_t r = 0; r < rows; ++r) {
            const I offset =
                set_int(static_cast<std::int32_t>(128u * static_cast<std::uint32_t>(queries.sum[r])));
            for (std::size_t c = 0; c < 4; ++c)
                done(r, (tile + c) * kTile, load_int(sums[c] + r * 16) - offset);
        }
    }
    _tile_release();
}

// Planes of attention weights times `slots` values of `tiles` x 16 elements. `planes` must be
// readable up to a multiple of 16 rows.
template <class Done>
inline void value_product(const std::uint8_t* planes, std::size_t stride, std::size_t rows,
                          const Tiles& values, std::size_t slots, std::size_t tiles, const Done& done) {
    if (tiles != 4 || slots % 64 != 0)
        return product<ValueDot>(planes, stride, nullptr, rows, values, slots / 4, 0, tiles, done);
    alignas(64) std::int32_t sums[4][16 * 16];
    for (std::size_t row = 0; row < rows; row += 16) {
        const std::size_t count = std::min<std::size_t>(16, rows - row);
        TileConfig config;
        for (const int tile : {0, 1, 2, 3, 4}) config.rows[tile] = static_cast<std::uint8_t>(count);
        _tile_loadconfig(&config);
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (std::size_t slot = 0; slot < slots; slot += 64) {
            const std::uint8_t* b = values.data + slot / 4 * values.group_stride;
            _tile_loadd(4, planes + row * stride + slot, stride);
            _tile_loadd(5, b, values.group_stride);
            _tile_dpbusd(0, 4, 5);
            _tile_loadd(6, b + 64, values.group_stride);
            _tile_dpbusd(1, 4, 6);
            _tile_loadd(7, b + 128, values.group_stride);
            _tile_dpbusd(2, 4, 7);
            _tile_loadd(5, b + 192, values.group_stride);
            _tile_dpbusd(3, 4, 5);
        }
        _tile_stored(0, sums[0], 64);
        _tile_stored(1, sums[1], 64);
        _tile_stored(2, sums[2], 64);
        _tile_stored(3, sums[3], 64);
        _tile_release();
        for (std::size_t r = 0; r < count; ++r)
            for (std::size_t c = 0; c < 4; ++c) done(row + r, c * kTile, load_int(sums[c] + r * 16));
    }
}
