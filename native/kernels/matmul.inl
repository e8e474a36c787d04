// PRODUCT (NUMERICS.md, section 4) and the logits (section 9).

static void multiply(const Quantized& a, std::size_t rows, const Matrix& w, std::size_t first_tile,
                     std::size_t last_tile, const float* bias, bool accumulate, float* y,
                     std::size_t stride) {
    const auto scaled = [&](std::size_t row, std::size_t n, I sum) {
        return to_float(sum) * (set(a.step[row]) * load(w.scales + n));
    };
    if (accumulate) {
        weight_product(a, rows, w, first_tile, last_tile, [&](std::size_t row, std::size_t n, I sum) {
            float* at = y + row * stride + n;
            store(at, load(at) + scaled(row, n, sum));
        });
    } else if (bias != nullptr) {
        weight_product(a, rows, w, first_tile, last_tile, [&](std::size_t row, std::size_t n, I sum) {
            store(y + row * stride + n, scaled(row, n, sum) + load(bias + n));
        });
    } else {
        weight_product(a, rows, w, first_tile, last_tile, [&](std::size_t row, std::size_t n, I sum) {
            store(y + row * stride + n, scaled(row, n, sum));
        });
    }
}

static void logits(const Quantized& a, std::size_t rows, const Matrix& w, std::size_t first_tile,
                   std::size_t last_tile, float* l, std::size_t stride) {
    const F log2e = set(1.4426950408889634f);
    weight_product(a, rows, w, first_tile, last_tile, [&](std::size_t row, std::size_t n, I sum) {
        store(l + row * stride + n - first_tile * kTile, to_float(sum) * ((set(a.step[row]) * log2e) * load(w.scales + n)));
    });
}

static float greatest(const float* l, std::size_t n) {
    F top = load(l);
    for (std::size_t i = 0; i < n; i += kLanes) top = max(top, load(l + i));
    return max_lane(top);
}

static std::int32_t token_weights(const float* l, float top, std::size_t n, std::int32_t* w) {
    I sum = set_int(0);
    for (std::size_t i = 0; i < n; i += kLanes) {
        const I weight = to_int(exp2(load(l + i) - set(top)) * set(0x1p22f));
        store_int(w + i, weight);
        sum = sum + weight;
    }
    return static_cast<std::int32_t>(sum_lanes(sum));
}
