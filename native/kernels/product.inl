// Exact int8 products (NUMERICS.md, section 4): a tile of kRows x kVectors sums stays in registers
// while four columns at a time are multiplied into it.

template <int n>
using Number = std::integral_constant<int, n>;

// Heights of tiles that are compiled; an instruction set uses those up to its kRows.
constexpr int shorter(int rows) {
    return rows > 8 ? 8 : rows > 6 ? 6 : rows > 4 ? 4 : rows - 1;
}

// f(Number<n>) for the greatest such height n that is at most `rows`, kMost being the next to try.
template <int kMost, class Function>
inline void with_rows(std::size_t rows, Function&& f) {
    if constexpr (kMost == 1) {
        f(Number<1>{});
    } else {
        if (rows >= static_cast<std::size_t>(kMost))
            f(Number<kMost>{});
        else
            with_rows<shorter(kMost)>(rows, f);
    }
}

#if defined(__GNUC__)
#define LMZIP_INLINE __attribute__((always_inline))
#else
#define LMZIP_INLINE
#endif

// f(Number<0>), ..., f(Number<n - 1>). With constant indices an array of sums stays in registers.
template <int n, class Function>
LMZIP_INLINE inline void each(const Function& f) {
    [&]<int... i>(std::integer_sequence<int, i...>) LMZIP_INLINE {
        (f(Number<i>{}), ...);
    }(std::make_integer_sequence<int, n>{});
}

// Where the second operand lies: 64 bytes (16 rows x 4 columns) a tile and group.
struct Tiles {
    const std::uint8_t* data;
    std::size_t tile_stride, group_stride;
};

// done(row, column, sums of kLanes columns from there) for kR rows and kC vectors of columns.
template <class Dot, int kR, int kC, class Done>
inline void tile_product(const std::uint8_t* a, std::size_t a_stride, const std::int32_t* a_sum,
                         std::size_t row, const Tiles& tiles, std::size_t groups, std::size_t tile,
                         const Done& done) {
    constexpr int per_tile = static_cast<int>(kTile) / kLanes;
    I sum[kR][kC];
    each<kR>([&](auto r) LMZIP_INLINE { each<kC>([&](auto c) LMZIP_INLINE { sum[r][c] = set_int(0); }); });
    const std::uint8_t* from = a + row * a_stride;
    const std::uint8_t* b = tiles.data + tile * tiles.tile_stride;
    for (std::size_t g = 0; g < groups; ++g) {
        I column[kC];
        each<kC>([&](auto c) LMZIP_INLINE {
            column[c] = Dot::prepare(load_bytes(b + (c / per_tile) * tiles.tile_stride + c % per_tile * kLanes * 4));
        });
        each<kR>([&](auto r) LMZIP_INLINE {
            const typename Dot::A four = Dot::broadcast(from + r * a_stride);
            each<kC>([&](auto c) LMZIP_INLINE { sum[r][c] = Dot::dot(sum[r][c], four, column[c]); });
        });
        from += 4;
        b += tiles.group_stride;
    }
    each<kR>([&](auto r) LMZIP_INLINE {
        I offset = set_int(0);
        if constexpr (Dot::kOffset)
            offset = set_int(static_cast<std::int32_t>(128u * static_cast<std::uint32_t>(a_sum[row + r])));
        each<kC>([&](auto c) LMZIP_INLINE {
            done(row + r, tile * kTile + c * kLanes, sum[r][c] - offset);
        });
    });
}

// The same for all rows and the tiles first..last. `a_sum` holds the rows' sums of a; it is used
// where Dot::kOffset says so.
template <class Dot, class Done>
inline void product(const void* a, std::size_t a_stride, const std::int32_t* a_sum, std::size_t rows,
                    const Tiles& tiles, std::size_t groups, std::size_t first, std::size_t last,
                    const Done& done) {
    constexpr int per_tile = static_cast<int>(kTile) / kLanes;
    constexpr std::size_t panel = std::max(1, kVectors / per_tile);
    const auto* bytes = static_cast<const std::uint8_t*>(a);
    const auto run = [&](auto vectors, std::size_t tile) {
        for (std::size_t row = 0; row < rows;) {
            with_rows<kRows>(rows - row, [&](auto count) {
                tile_product<Dot, count, vectors>(bytes, a_stride, a_sum, row, tiles, groups, tile, done);
                row += count;
            });
        }
    };
    std::size_t tile = first;
    for (; tile + panel <= last; tile += panel) run(Number<kVectors>{}, tile);
    for (; tile < last; ++tile) run(Number<per_tile>{}, tile);
}

inline Tiles tiles_of(const Matrix& w) { return {w.tiles, w.groups() * 64, 64}; }
