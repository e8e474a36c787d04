// ROTATE and QUANTISE (NUMERICS.md, section 4), NORM (section 5) and GATE (section 8).

constexpr float kFloor = 0x1p-60f;

template <int half>
inline void butterfly_within(float* x) {
    if constexpr (half < kLanes) store(x, butterfly<half>(load(x)));
}

// Every block of kBlock floats of x times the Hadamard matrix; n is padded.
template <std::size_t kBlock>
inline void hadamard_blocks(float* x, std::size_t n) {
    if constexpr (kBlock >= kLanes) {
        constexpr std::size_t count = kBlock / kLanes;
        for (std::size_t at = 0; at < n; at += kBlock) {
            F v[count];
            for (std::size_t i = 0; i < count; ++i) {
                v[i] = load(x + at + i * kLanes);
                if constexpr (kLanes > 1) v[i] = butterfly<1>(v[i]);
                if constexpr (kLanes > 2) v[i] = butterfly<2>(v[i]);
                if constexpr (kLanes > 4) v[i] = butterfly<4>(v[i]);
                if constexpr (kLanes > 8) v[i] = butterfly<8>(v[i]);
            }
            for (std::size_t half = 1; half < count; half *= 2)
                for (std::size_t i = 0; i < count; i += 2 * half)
                    for (std::size_t j = i; j < i + half; ++j) {
                        const F a = v[j], b = v[j + half];
                        v[j] = a + b;
                        v[j + half] = a - b;
                    }
            for (std::size_t i = 0; i < count; ++i) store(x + at + i * kLanes, v[i]);
        }
    } else {
        for (std::size_t at = 0; at < n; at += kLanes) {
            if constexpr (kBlock > 1) butterfly_within<1>(x + at);
            if constexpr (kBlock > 2) butterfly_within<2>(x + at);
            if constexpr (kBlock > 4) butterfly_within<4>(x + at);
        }
    }
}

// ROTATE of `width` floats; x is padded with zeros, which stay zeros.
inline void hadamard(float* x, std::size_t width) {
    const std::size_t n = padded(width);
    switch (width & (~width + 1)) {  // the largest power of two that divides width
        case 1: return;
        case 2: return hadamard_blocks<2>(x, n);
        case 4: return hadamard_blocks<4>(x, n);
        case 8: return hadamard_blocks<8>(x, n);
        case 16: return hadamard_blocks<16>(x, n);
        case 32: return hadamard_blocks<32>(x, n);
        default: return hadamard_blocks<64>(x, n);
    }
}

inline float greatest_magnitude(const float* x, std::size_t n) {
    F top = set(kFloor);
    for (std::size_t i = 0; i < n; i += kLanes) top = max(top, abs(load(x + i)));
    return max_lane(top);
}

// QUANTISE of n floats, n padded.
inline void quantize_row(const float* x, std::size_t n, const Quantized& out) {
    const float a = greatest_magnitude(x, n);
    const F c = set(127.0f / a);
    I sum = set_int(0);
    for (std::size_t i = 0; i < n; i += kLanes) {
        const I q = to_int(load(x + i) * c);
        store_low_bytes(out.q + i, q);
        sum = sum + q;
    }
    *out.step = a * static_cast<float>(1.0 / 127.0);
    *out.sum = static_cast<std::int32_t>(sum_lanes(sum));
}

// RMS of x[width], padded with zeros.
inline float root_mean_square(const float* x, std::size_t width, float eps) {
    const std::size_t n = padded(width);
    const float a = greatest_magnitude(x, n);
    const float u = a * static_cast<float>(1.0 / 16256.0);
    const F c = set(16256.0f / a);
    Squares squares;
    for (std::size_t i = 0; i < n; i += kLanes) squares.add(rint(load(x + i) * c));
    const float total = static_cast<float>(squares.total());
    const float mean = total * static_cast<float>(1.0 / static_cast<double>(width));
    return std::sqrt(mean * (u * u) + eps);
}

static void norm_quantize(const float* x, const float* gain, std::size_t width, float eps,
                          float* scratch, const Quantized& out) {
    const std::size_t n = padded(width);
    for (std::size_t i = 0; i < n; i += kLanes) store(scratch + i, load(x + i) * load(gain + i));
    hadamard(scratch, width);
    quantize_row(scratch, n, out);
    *out.step = *out.step / root_mean_square(x, width, eps);
}

static void rotate_quantize(float* x, std::size_t width, const Quantized& out) {
    hadamard(x, width);
    quantize_row(x, padded(width), out);
}

static void gate_quantize(const float* gate_up, std::size_t width, float* scratch,
                          const Quantized& out) {
    const std::size_t n = padded(width);
    const F minus_log2e = set(-1.4426950408889634f), one = set(1.0f);
    for (std::size_t i = 0; i < n; i += kLanes) {
        const F gate = load(gate_up + i), up = load(gate_up + width + i);
        store(scratch + i, gate / (exp2(gate * minus_log2e) + one) * up);
    }
    for (std::size_t i = width; i < n; ++i) scratch[i] = 0;
    hadamard(scratch, width);
    quantize_row(scratch, n, out);
}

static void embed(const Matrix& table, std::size_t token, float* x) {
    const std::size_t groups = table.groups(), n = padded(table.columns);
    const std::uint8_t* at = table.tiles + (token / kTile) * groups * 64 + (token % kTile) * 4;
    for (std::size_t g = 0; g < groups; ++g)
        for (std::size_t i = 0; i < 4; ++i)
            x[4 * g + i] = static_cast<float>(static_cast<int>(at[g * 64 + i]) - 128);
    for (std::size_t i = table.columns; i < n; ++i) x[i] = 0;
    hadamard(x, table.columns);
    const F scale = set(table.scales[token]);
    for (std::size_t i = 0; i < n; i += kLanes) store(x + i, load(x + i) * scale);
}
